"""`python -m benchmarks.engine [--small] [--only PART] [--json FILE]`: what the engine costs, and how that grows.

Rows A-12 (overhead per shard and node) and A-15 (columns against rewriting), Ray Data's own cost, and what grows with
the corpus: shards through a pass, requests to a store, a finished run, files to read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.engine import finished, overhead, ray_data, reading, requests, rewriting


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    words.add_argument("--small", action="store_true", help="a tenth of the size: to see that it runs")
    words.add_argument(
        "--only", metavar="PART", action="append", help="ray_data, rewriting, overhead, many_shards, ..."
    )
    words.add_argument("--json", metavar="FILE", help="write the records here")
    asked = words.parse_args()
    cpus = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="siftloom-bench-") as name:
        records = _records(Path(name), asked.small, cpus, asked.only)
    conditions = {"python": platform.python_version(), "cpus": cpus, "load": os.getloadavg()[0], "small": asked.small}
    for record in records:
        verdict = "" if record["holds"] is None else ("  holds" if record["holds"] else "  DOES NOT HOLD")
        must = f"  (must be {record['must']})" if record["must"] else ""
        print(f"{record['row']}  {record['value']:>10} {record['unit']:<3} {record['what']}{must}{verdict}")
    if asked.json:
        Path(asked.json).write_text(json.dumps({"conditions": conditions, "records": records}, indent=1))
    return 0 if all(record["holds"] is not False for record in records) else 1


def _records(folder: Path, small: bool, cpus: int, only: list[str] | None) -> list[dict]:
    """The rows of every part, or of those named, in an order in which Ray Data's fixed cost is measured first."""
    parts = {
        "ray_data": lambda: ray_data.measure(cpus),
        "rewriting": lambda: rewriting.measure(folder, 1 if small else 6),
        "overhead": lambda: overhead.measure(folder, 100 if small else 1000, cpus),
        "many_shards": lambda: overhead.measure(folder, 200 if small else 10_000, cpus, "many-shards"),
        "requests": lambda: requests.measure(folder, 50 if small else 500, cpus),
        "finished": lambda: finished.measure(folder, 1000 if small else 100_000),
        "read": lambda: reading.measure(folder, 50 if small else 10_000, 22 if small else reading.MEGABYTES, cpus),
    }
    return [record for part in only or parts for record in parts[part]()]


if __name__ == "__main__":
    sys.exit(main())
