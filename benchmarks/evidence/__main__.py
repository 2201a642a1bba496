"""`python -m benchmarks.evidence [NAME...] [--small] [--seeds N...] [--into FOLDER]`: make the records of
`docs/evidence/` again.

Each experiment trains models of a million parameters or fewer in one process of one thread. What a seed gave is kept as
it ends (`seeds/` of the folder, or `runs/evidence/seeds`): the same command goes on with the seeds that are left, and a
change of code begins anew. `--seeds` does some seeds alone, such as each in a process of its own, and writes no record.
`--small` runs two seeds of a few steps: it shows that every experiment runs, no more, and needs a folder of its own.
An experiment whose package is not installed is left out and named; where it was asked by name, that is an error.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.curation.helps import HELPS
from benchmarks.dedup.records import say
from benchmarks.evidence.claims import Experiment
from benchmarks.evidence.parts import Parts
from benchmarks.evidence.record import FOLDER, ROOT, Record
from benchmarks.lost.experiment import LOST, LOST_MILLION
from benchmarks.objectives.experiments import EXPERIMENTS as OBJECTIVES
from benchmarks.reweighting.experiment import REWEIGHTING
from pipeline.errors import MissingExtra

EXPERIMENTS = {experiment.name: experiment for experiment in (*OBJECTIVES, REWEIGHTING, LOST, LOST_MILLION, HELPS)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.evidence")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; all without one")
    parser.add_argument("--small", action="store_true", help="two seeds of a few steps: only that it runs")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="these alone, and no record")
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
        experiment = EXPERIMENTS[name]
        seeds, steps = (2, 4) if wish.small else (experiment.seeds, experiment.steps)
        parts = Parts.of(experiment, steps, (wish.into or ROOT / "runs" / "evidence") / "seeds")
        try:
            results = seeds_of(experiment, wish.seeds or range(seeds), steps, parts)
        except MissingExtra as error:
            if wish.names:
                raise
            say(f"{name} is left out: {error}")
            continue
        if not wish.seeds:
            record = Record.of(experiment, steps, results)
            say(f"\n{name}\n{record.table()}\n{record.write(into)}")


def seeds_of(experiment: Experiment, seeds: Sequence[int], steps: int, parts: Parts) -> list[dict[str, float]]:
    """What the seeds gave; those that are not kept run now."""
    results = []
    for seed in seeds:
        found = parts.read(seed)
        told = f"{experiment.name}, seed {seed}" + (" (kept)" if found else "")
        if found is None:
            with tempfile.TemporaryDirectory(prefix="siftloom-evidence-") as folder:
                found = dict(experiment.run(Path(folder), seed, steps))
            parts.keep(seed, found)
        say(f"{told}: " + ", ".join(f"{arm} {value:.4f}" for arm, value in found.items()))
        results.append(found)
    return results


if __name__ == "__main__":
    main()
