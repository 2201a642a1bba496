"""`python -m benchmarks.training [PART]... [--small] [--threads N] [--rounds N] [--compiled] [--json FILE]`

Parts: speed (steps against transformers, and litgpt where it is installed), shares (loader, tree sum), memory
(predicted and measured peak), losses (forms of the cross-entropy), documents (attention inside documents), resume (the
start of a run that goes on); all of them when none is named. `--small` takes a small model and few rounds.
`python -m benchmarks.training.gpu` is for one GPU.
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
from benchmarks.training import documents, loss_forms, memory, resume, shares, speed

PARTS = ("speed", "shares", "memory", "losses", "documents", "resume")


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.training")
    wish.add_argument("parts", nargs="*", choices=[*PARTS, []])
    wish.add_argument("--small", action="store_true")
    wish.add_argument("--threads", type=int, default=1)
    wish.add_argument("--rounds", type=int, default=5)
    wish.add_argument("--compiled", action="store_true", help="compiled contestants too: a minute or more for each")
    wish.add_argument("--json", type=Path)
    wish = wish.parse_args()
    parts, records = wish.parts or PARTS, Records()
    say(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    tasks = (speed.SMALL,) if wish.small else speed.LARGE
    with tempfile.TemporaryDirectory(prefix="siftloom-training-") as folder:
        torch.set_num_threads(wish.threads)
        if "speed" in parts:
            for number, task in enumerate(tasks):
                place = Path(folder) / str(number)
                speed.measure(records, task, place, rounds=wish.rounds, compiled=wish.compiled)
        if "shares" in parts:
            shares.measure(records, tasks[0], Path(folder) / "shares", steps=3 if wish.small else 5)
    if "memory" in parts:
        memory.measure(records, small=wish.small)
    if "losses" in parts:
        loss_forms.measure(small=wish.small)
    if "documents" in parts:
        documents.measure(small=wish.small)
    if "resume" in parts:
        resume.measure(records)
    say("\nrows")
    for row in records.rows:
        said = "holds" if row["holds"] else "MISSED"
        say(f"{row['row']:6} {said:7} {row['what']}: {row['value']} {row['unit']} (must be {row['must']})")
    if wish.json:
        wish.json.write_text(json.dumps(records.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
