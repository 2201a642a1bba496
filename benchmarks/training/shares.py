"""Shares of a step that are no arithmetic of the model: the loader, and the tree sum of gradients."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.training.speed import Task, training_of
from stages.training.parallel import Replicas
from stages.training.worker import Trainer


class Timed:
    """A function that adds up the CPU time of the thread that calls it."""

    def __init__(self, function: Any) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any, **more: Any) -> Any:
        began = time.thread_time()
        try:
            return self.function(*args, **more)
        finally:
            self.seconds += time.thread_time() - began


def measure(records: Records, task: Task, folder: Path, *, steps: int) -> None:
    for micro_batches, most in ((1, 0.01), (8, 0.08)):
        made = Trainer(training_of(task, folder, micro_batches=micro_batches), 0, 1, torch.device("cpu"))
        assert isinstance(made.parallel, Replicas)
        made.train_step()
        tree, feed = Timed(made.parallel._tree.add), Timed(made.feed._make)
        made.parallel._tree.add, made.feed._make = tree, feed  # pyright: ignore[reportAttributeAccessIssue]
        began = time.process_time()
        for _ in range(steps):
            made.train_step()
        spent = time.process_time() - began
        made.feed.close()
        say(f"M = {micro_batches}: tree sum {tree.seconds / spent:.2%}, loader {feed.seconds / spent:.2%} of the step")
        records.at_most("T-3", f"share of the tree sum at M = {micro_batches}", tree.seconds / spent, most, "")
        if micro_batches == 1:
            records.at_most("T-4", "share of the loader", feed.seconds / spent, 0.01, "")
