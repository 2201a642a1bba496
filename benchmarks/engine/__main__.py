"""`python -m benchmarks.engine [--small] [--json FILE]`: rows A-12 and A-15, and what Ray Data costs by itself."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.engine import overhead, ray_data, rewriting


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    words.add_argument("--small", action="store_true", help="a tenth of the size: to see that it runs")
    words.add_argument("--json", metavar="FILE", help="write the records here")
    asked = words.parse_args()
    cpus = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="siftloom-bench-") as folder:
        records = ray_data.measure(cpus)
        records += rewriting.measure(Path(folder), 25 if asked.small else 150)
        records += overhead.measure(Path(folder), 100 if asked.small else 1000, cpus)
    conditions = {"python": platform.python_version(), "cpus": cpus, "load": os.getloadavg()[0], "small": asked.small}
    for record in records:
        verdict = "" if record["holds"] is None else ("  holds" if record["holds"] else "  DOES NOT HOLD")
        must = f"  (must be {record['must']})" if record["must"] else ""
        print(f"{record['row']}  {record['value']:>10} {record['unit']:<3} {record['what']}{must}{verdict}")
    if asked.json:
        Path(asked.json).write_text(json.dumps({"conditions": conditions, "records": records}, indent=1))
    return 0 if all(record["holds"] is not False for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
