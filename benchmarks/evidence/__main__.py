"""`python -m benchmarks.evidence [NAME...] [--small] [--into FOLDER]`: make the records of `docs/evidence/` again.

Each experiment trains models of about 0.15 million parameters in one process of one thread. `--small` runs two seeds of
a few steps, and shows no more than that every experiment runs; it needs a folder of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.curation.helps import HELPS
from benchmarks.dedup.records import say
from benchmarks.evidence.claims import Experiment
from benchmarks.evidence.record import FOLDER, Record
from benchmarks.lost.experiment import LOST
from benchmarks.objectives.experiments import EXPERIMENTS as OBJECTIVES
from benchmarks.reweighting.experiment import REWEIGHTING

EXPERIMENTS = {experiment.name: experiment for experiment in (*OBJECTIVES, REWEIGHTING, LOST, HELPS)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.evidence")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; all without one")
    parser.add_argument("--small", action="store_true", help="two seeds of a few steps: only that it runs")
    parser.add_argument("--into", type=Path, help="folder of the records; docs/evidence without one")
    wish = parser.parse_args()
    if unknown := sorted(set(wish.names) - set(EXPERIMENTS)):
        parser.error(f"{', '.join(unknown)}: no experiment, expected some of {', '.join(EXPERIMENTS)}")
    if wish.small and wish.into is None:
        parser.error("--small without --into: its records are no evidence, so they have no place in docs/evidence")
    into = wish.into or FOLDER
    into.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in wish.names or EXPERIMENTS:
        record = made(EXPERIMENTS[name], small=wish.small)
        say(f"\n{name}\n{record.table()}\n{record.write(into)}")


def made(experiment: Experiment, *, small: bool) -> Record:
    """Run the seeds of an experiment."""
    seeds, steps = (2, 4) if small else (experiment.seeds, experiment.steps)
    results = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="siftloom-evidence-") as folder:
            results.append(experiment.run(Path(folder), seed, steps))
        say(f"{experiment.name}, seed {seed}: " + ", ".join(f"{arm} {value:.4f}" for arm, value in results[-1].items()))
    return Record.of(experiment, steps, results)


if __name__ == "__main__":
    main()
