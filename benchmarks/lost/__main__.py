"""`python -m benchmarks.lost [--small] [--json FILE]`: the layer of LOST beside a dense one.

What it learns beside its controls is evidence: `python -m benchmarks.evidence lost`. `--small`: fewer tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.lost import layers


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.lost")
    wish.add_argument("--small", action="store_true")
    wish.add_argument("--json", type=Path)
    wish = wish.parse_args()
    records = Records()
    say(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    layers.measure(records, small=wish.small)
    say("\nrows")
    for row in records.rows:
        said = "holds" if row["holds"] else "MISSED"
        say(f"{row['row']:8} {said:7} {row['what']}: {row['value']} {row['unit']} (must be {row['must']})")
    if wish.json:
        wish.json.write_text(json.dumps({"rows": records.rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
