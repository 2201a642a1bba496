"""Predicted peak memory against the resident peak of a process: each configuration trains two steps in a fresh one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.dedup.records import Records, say

WITHIN = 0.15
LENGTH = 256
SETTINGS: dict[str, dict[str, Any]] = {
    "9m dense, fp32, 32k words, 8 x 256": {"model": ("Llama", {"size": "9m"}), "rows": 8},
    "60m dense, bf16, 32k words, 8 x 256": {"model": ("Llama", {"size": "60m"}), "rows": 8, "precision": "bf16"},
    "60m LOST, fp32, 32k words, 4 x 256": {
        "model": ("Lost", {"size": "60m", "rank": 128, "density": 0.05}), "rows": 4,
    },
    "60m dense, bf16, 32k words, 8 x 256, recomputed": {
        "model": ("Llama", {"size": "60m"}), "rows": 8, "precision": "bf16", "recompute": True,
    },
}  # fmt: skip
AGAINST = "60m dense, bf16, 32k words, 8 x 256"  # the one that transformers trains too
SMALL = 1  # of them


def training_of(settings: dict[str, Any], folder: Path):
    """A training on random rows."""
    import models
    from benchmarks.training.rows import random_rows, training_on

    kind, fields = settings["model"]
    rows = random_rows(folder, rows=2 * settings["rows"], length=LENGTH, vocab_size=32_000)
    return training_on(
        rows, str(folder / "scratch"), model=getattr(models, kind)(**fields), steps=2, batch_rows=settings["rows"],
        precision=settings.get("precision", "fp32"), recompute=settings.get("recompute", False), checkpoint_every=9,
        log_interval=9,
    )  # fmt: skip


def run(name: str) -> None:
    """Train in this process; print the predicted and the resident peak, and what was resident before."""
    import torch

    from stages.training.memory import peak_of
    from stages.training.worker import Trainer, peak_memory, prepare

    with tempfile.TemporaryDirectory(prefix="siftloom-memory-") as folder:
        training = training_of(SETTINGS[name], Path(folder))
        device = prepare(training.node)
        before = peak_memory(device)
        trainer = Trainer(training, 0, 1, torch.device("cpu"))
        for _ in range(training.node.steps):
            trainer.train_step()
        trainer.feed.close()
        predicted = peak_of(training.node, training.vocab_size, training.length, 1)
    told = {"predicted": predicted.total, "measured": peak_memory(device), "before": before}
    print(json.dumps(told | {"parts": dataclasses.asdict(predicted)}), flush=True)


def run_peer(name: str) -> None:
    """The same training by transformers' plain loop, in this process; prints what was resident at the most."""
    import torch

    import models
    from benchmarks.training.speed import Task, transformers
    from stages.training.worker import peak_memory

    settings = SETTINGS[name]
    torch.set_num_threads(1)
    task = Task(models.Llama(**settings["model"][1]), 0, 32_000, LENGTH, settings["rows"], 1)
    step = transformers(task, 1)
    for _ in range(2):
        step()
    print(json.dumps({"measured": peak_memory(torch.device("cpu"))}), flush=True)


def in_a_process(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.memory", *words], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def measure(records: Records, *, small: bool) -> None:
    say(f"{'peak memory of a process':50} {'predicted':>10} {'measured':>10} {'ratio':>6}")
    for name in list(SETTINGS)[: SMALL if small else None]:
        told = in_a_process(name)
        if name == AGAINST:
            theirs = in_a_process(name, "transformers")["measured"]
            say(f"{name + ', transformers':50} {'':10} {theirs / 1e6:7.0f} MB")
            records.at_most("T-3", f"peak memory over transformers, {name}", told["measured"] / theirs, 0.85)
        ratio = told["predicted"] / told["measured"]
        say(f"{name:50} {told['predicted'] / 1e6:7.0f} MB {told['measured'] / 1e6:7.0f} MB {ratio:6.3f}")
        records.at_most("T-9", f"predicted over measured peak, off 1 by: {name}", abs(ratio - 1), WITHIN, "")


if __name__ == "__main__":
    run(sys.argv[1]) if len(sys.argv) == 2 else run_peer(sys.argv[1])
