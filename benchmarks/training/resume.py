"""How long a training of 130m takes from the start of its process to its first new step, when a checkpoint is there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.dedup.records import Records, say

MODEL = ("Lost", {"size": "130m", "rank": 256, "density": 0.01})
WITHIN = 5.0  # seconds


def training_at(folder: Path):
    """A training on one row a step."""
    from benchmarks.training.memory import training_of

    return training_of({"model": MODEL, "rows": 1}, folder)


def save(folder: Path) -> None:
    """Train a step and keep its checkpoint; prints CPU seconds of the start from nothing."""
    import torch

    from stages.training.checkpoint import Saver
    from stages.training.worker import Trainer

    began = time.process_time()
    trainer = Trainer(training_at(folder), 0, 1, torch.device("cpu"))
    fresh = time.process_time() - began
    trainer.train_step()
    trainer.feed.close()
    Saver(str(folder / "scratch")).save(1, trainer.written(), trainer.rest())
    print(json.dumps({"fresh": fresh}), flush=True)


def resume(folder: Path) -> None:
    """Go on from the checkpoint; prints seconds of CPU and of the clock, with Python's start and all imports."""
    import torch

    from stages.training.checkpoint import Saver
    from stages.training.worker import Trainer

    imported, clock = time.process_time(), time.perf_counter()
    with Saver(str(folder / "scratch")).restore() as checkpoint:
        trainer = Trainer(training_at(folder), 0, 1, torch.device("cpu"), checkpoint)
    told = {"cpu": time.process_time(), "imports": imported, "clock": time.perf_counter() - clock}
    assert trainer.step == 1
    trainer.feed.close()
    print(json.dumps(told), flush=True)


def measure(records: Records) -> None:
    with tempfile.TemporaryDirectory(prefix="siftloom-resume-") as folder:
        told = {}
        for part in ("save", "resume"):
            command = [sys.executable, "-m", "benchmarks.training.resume", part, folder]
            told |= json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )
    say(f"resume of {MODEL}: CPU s {told['cpu']:.1f} to the first step, {told['imports']:.1f} of them imports;")
    say(f"  the clock after the imports: {told['clock']:.1f} s; the model from nothing: {told['fresh']:.1f} CPU s")
    records.at_most("T-4", "resume of 130m to its first step", told["cpu"], WITHIN, "CPU s")


if __name__ == "__main__":
    {"save": save, "resume": resume}[sys.argv[1]](Path(sys.argv[2]))
