"""`python -m benchmarks.lost [layers|experiment] [--small] [--json FILE]`: the layer table, LOST and its controls.

`--small` shows that it runs: fewer tokens, steps and seeds. The whole of it takes about 15 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.lost import experiment, layers


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.lost")
    wish.add_argument("part", nargs="?", choices=["layers", "experiment"])
    wish.add_argument("--small", action="store_true")
    wish.add_argument("--json", type=Path)
    wish = wish.parse_args()
    records, table = Records(), []
    say(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    if wish.part != "experiment":
        layers.measure(records, small=wish.small)
    if wish.part != "layers":
        with tempfile.TemporaryDirectory(prefix="siftloom-lost-") as folder:
            table = experiment.measure(records, Path(folder), small=wish.small)
    say("\nrows")
    for row in records.rows:
        said = "holds" if row["holds"] else "MISSED"
        say(f"{row['row']:8} {said:7} {row['what']}: {row['value']} {row['unit']} (must be {row['must']})")
    if wish.json:
        wish.json.write_text(json.dumps({"rows": records.rows, "experiment": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
