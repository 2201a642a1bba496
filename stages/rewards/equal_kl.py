"""Policies at one divergence from their reference: win rates read off the curves that several strengths of each draw.

A policy wins more the further it goes from the reference, so two ways of training are compared where both have gone
equally far, and never at equal beta. Training overshoots what it was asked for, so the divergence is the measured one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.bounds import AmountAboveZero
from pipeline.contract import ONE, Context, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.intervals import Resampled
from stages.rewards.win_rate import WinRate
from stages.wants import WinRates

if TYPE_CHECKING:
    import numpy as np


class _Run(NamedTuple):
    """A `win_rate` that has run: its measured divergence, and the win rate of every prompt."""

    kl: float
    prompts: list[str]
    rates: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class EqualKl(Resampled):
    """Win rates of several ways of training, where each has gone equally far from the reference: `table/all.json`.

    runs       `win_rate` nodes with `nats`, each way of training with two or more strengths
    labels     of every run the name of its way of training
    kl         the divergence [nats per answer] at which they are compared
    resamples  draws of prompts with replacement, for the intervals
    level      of the intervals

    Between two measured divergences the win rate is taken as straight in their square root, as it is near the
    reference. A way that has not gone both less and more far has no number, and the table says how far it went. The
    first way is what the others are held against, sampled in the same way and on the same prompts.

    Errors: `DataError` for runs of other prompts.
    """

    runs: tuple[WinRates, ...]
    labels: tuple[str, ...]
    kl: AmountAboveZero = 0.5

    gives = "table"

    def check(self) -> None:
        if len(self.labels) != len(self.runs) or not self.runs:
            found = f"{len(self.labels)} for {len(self.runs)} runs"
            raise RecipeError("equal_kl.labels", found, "a name for every run, those of one way of training alike")
        for run in self.runs:
            if not isinstance(run, WinRate) or run.nats is None:
                found = f"a {run.kind()} node" if not isinstance(run, WinRate) else "a win_rate without nats"
                raise RecipeError("equal_kl.runs", found, "win_rate nodes with `nats`, which measures the divergence")

    def phases(self):
        return (TaskPhase(name="table", keys=one, run=self._table),)

    def _table(self, ctx: Context, key: str) -> Result:
        import numpy as np

        runs = [self._run(ctx, place) for place in range(len(self.runs))]
        if any(run.prompts != runs[0].prompts for run in runs):
            raise DataError("equal_kl.runs", "win rates of other prompts", "the same prompts for all")
        curves: dict[str, dict[str, list[_Run]]] = defaultdict(lambda: defaultdict(list))
        for node, label, run in zip(self.runs, self.labels, runs, strict=True):
            curves[_how(node)][label].append(run)
        rows: list[dict[str, Any]] = []
        for how, ways in curves.items():
            first = None
            for label, several in ways.items():
                row: dict[str, Any] = {"label": label, "sampling": how}
                row["measured"] = sorted([run.kl, float(run.rates.mean())] for run in several)
                rates = _at(self.kl, several)
                row["win_rate"] = None if rates is None else self.mean_of(rates)
                if first is not None and rates is not None:
                    row["against_first"] = self.mean_of(rates - first)
                first = rates if label == self.labels[0] else first
                rows.append(row)
        ctx.write_json({"kl": self.kl, "level": self.level, "rows": rows})
        reached = {f"{row['label']}, {row['sampling']}": row["win_rate"] for row in rows if row["win_rate"] is not None}
        facts = {name: mean["mean"] for name, mean in reached.items()}
        return Result(counts={"prompts": len(np.unique(runs[0].prompts)), "curves": len(rows)}, facts=facts)

    def _run(self, ctx: Context, place: int) -> _Run:
        import pyarrow.parquet as pq

        score = ctx.read_json("score", of=("runs", place))
        table = pq.read_table(ctx.path("score", ONE[0], ".parquet", of=("runs", place)))
        return _Run(score["kl"]["mean"], table["id"].to_pylist(), table["value"].to_numpy())

    def figures(self, ctx: Context):
        found = ctx.read_json("table")
        rows = [
            [
                row["sampling"], row["label"], ", ".join(f"{kl:.2f}" for kl, _ in row["measured"]),
                *(_ends(row["win_rate"]) if row["win_rate"] else ["not reached", ""]),
                *_ends(row.get("against_first")),
            ]
            for row in found["rows"]
        ]  # fmt: skip
        columns = ["sampled", "trained", "divergences seen", "win rate", "", f"than {self.labels[0]}", ""]
        title = f"Win rates at {self.kl:g} nats per answer, with intervals of {self.level:.0%}"
        yield {"kind": "table", "title": title, "columns": columns, "rows": rows}


def _how(run: Node) -> str:
    assert isinstance(run, WinRate)  # `check`
    return run.sampling if run.sampling == "plain" else f"{run.sampling} of {run.n}"


def _ends(mean: dict[str, float] | None) -> list[Any]:
    return [None, ""] if mean is None else [round(mean["mean"], 4), f"{mean['from']:.3f} to {mean['to']:.3f}"]


def _at(kl: float, runs: Sequence[_Run]) -> np.ndarray | None:
    """Of every prompt the win rate at a divergence; None where it is not between two measured ones."""
    ordered = sorted(runs, key=lambda run: run.kl)
    for low, high in pairwise(ordered):
        if max(low.kl, 0.0) <= kl <= high.kl and low.kl < high.kl:
            start, end = math.sqrt(max(low.kl, 0.0)), math.sqrt(high.kl)
            part = (math.sqrt(kl) - start) / (end - start)
            return (1 - part) * low.rates + part * high.rates
    return None
