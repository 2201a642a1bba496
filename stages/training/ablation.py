"""Which arm is better: arms that differ in nothing else, held against the first of them on the same documents.

Documents are resampled in pairs (Efron and Tibshirani 1993, chapter 13; Koehn 2004 for the paired form): all models are
scored on the same draw, so what is hard about a document falls out of the difference. The interval speaks of documents;
of the chance in training the seeds speak, which is why they must agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.contract import ONE, Context, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.intervals import Resampled, interval
from stages.measure import MeasureNode
from stages.wants import Scored

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation(Resampled):
    """Differences between arms and the first arm, with their intervals: in held-out bits per byte, or in the mean of a
    column. Writes `table/all.json`.

    runs       `evaluate` nodes, or `measure` and `win_rate` nodes, on the same documents: all seeds of the first arm,
               then of the second, ...
    labels     the names of the arms
    resamples  draws of documents with replacement
    level      of the interval

    A difference counts as real when its interval excludes 0 and every seed has its sign. Errors: `DataError` when the
    runs are not of the same documents.
    """

    runs: tuple[Scored, ...]
    labels: tuple[str, ...]

    gives = "table"

    def check(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise RecipeError("ablation.labels", f"{list(self.labels)}", "two or more different names")
        if not self.runs or len(self.runs) % len(self.labels):
            raise RecipeError(
                "ablation.runs", f"{len(self.runs)} for {len(self.labels)} arms", "as many evaluations of every arm"
            )
        if len(kinds := {(run.kind(), _unit([run]).better) for run in self.runs}) > 1:
            found = " and ".join(f"{kind} ({better} is better)" for kind, better in sorted(kinds))
            raise RecipeError("ablation.runs", found, "evaluations alone, or measures alone, with one better side")

    def phases(self):
        return (TaskPhase(name="table", keys=one, run=self._table),)

    def figures(self, ctx: Context):
        found = ctx.read_json("table")
        unit = _unit(self.runs)
        ends = [f"{unit.better} than the first", *self.mean_columns()[1:]]
        columns = ["arm", "source", "documents", unit.name, *ends, "real"]
        yield {"kind": "table", "title": f"Arms against {self.labels[0]}", "columns": columns, "rows": rows_of(found)}
        yield {"kind": "text", "title": "In words", "lines": found["words"]}

    def _table(self, ctx: Context, key: str) -> Result:
        import numpy as np

        seeds, unit = len(self.runs) // len(self.labels), _unit(self.runs)
        tables = [self._scores(ctx, place) for place in range(len(self.runs))]
        ids, names, _, size = tables[0]
        if any(other != ids for other, _, _, _ in tables):
            raise DataError("ablation.runs", "evaluations of other documents", "the same documents for all")
        values = np.array([found for _, _, found, _ in tables]).reshape(len(self.labels), seeds, -1)
        sources = np.array([name or "" for name in names])
        groups = {"all": np.arange(len(size))}
        groups |= {name: np.flatnonzero(sources == name) for name in sorted(set(sources.tolist()) - {""})}
        arms = []
        for arm, label in enumerate(self.labels):
            of = {
                name: _held(values[[0, arm]][:, :, rows], size[rows], unit, self)
                for name, rows in groups.items()
                if size[rows].sum() > 0
            }
            arms.append({"arm": label, "groups": of})
        found = {"arms": arms, "seeds": seeds, "level": self.level, "unit": unit.name}
        found["words"] = [_words(arm, self.labels[0], seeds, self.level, unit) for arm in arms[1:]]
        ctx.write_json(found)
        facts = {arm["arm"]: arm["groups"]["all"]["mean"] for arm in arms}
        return Result(counts={"documents": len(size)}, facts=facts)

    def _scores(self, ctx: Context, place: int) -> tuple[list[str], list[str | None], np.ndarray, np.ndarray]:
        """Ids, groups, values and sizes of a run's documents: its mean is the sum of values over the sum of sizes."""
        import numpy as np
        import pyarrow.parquet as pq

        table = pq.read_table(ctx.path("score", ONE[0], ".parquet", of=("runs", place)))
        if isinstance(self.runs[place], MeasureNode):
            return (
                *(table[name].to_pylist() for name in ("id", "group")),
                table["value"].to_numpy(),
                table["size"].to_numpy() if "size" in table.column_names else np.ones(len(table)),
            )
        ids, sources = (table[name].to_pylist() for name in ("id", "source"))
        return ids, sources, table["nats"].to_numpy() / math.log(2), table["bytes"].to_numpy().astype(np.float64)


class _Unit(NamedTuple):
    """What the runs of an ablation tell, and the word for its better side."""

    name: str
    better: Literal["less", "more"]


def _unit(runs: Sequence[Node]) -> _Unit:
    if isinstance(runs[0], MeasureNode):
        names = {run.measured for run in runs if isinstance(run, MeasureNode)}
        return _Unit(names.pop() if len(names) == 1 else "value", "more" if runs[0].higher_is_better else "less")
    return _Unit("bits per byte", "less")


def _held(values: np.ndarray, size: np.ndarray, unit: _Unit, node: Ablation) -> dict[str, Any]:
    """One arm against the first. values: [2, seeds, documents], the first arm's and its own; size: [documents]."""
    own = values[1].sum(1) / size.sum()
    better = values[0] - values[1] if unit.better == "less" else values[1] - values[0]  # [seeds, documents]
    gains, gain = better.sum(1) / size.sum(), float(better.mean(0).sum() / size.sum())
    low, high = interval(better.mean(0), size, node.resamples, node.level, node.seed)
    agree = bool((gains > 0).all() or (gains < 0).all())
    return {
        "documents": len(size), "mean": float(own.mean()), "of_seeds": own.tolist(), "gain": gain,
        "gains_of_seeds": gains.tolist(), "from": low, "to": high, "real": agree and not low <= 0 <= high,
        "agree": agree,
    }  # fmt: skip


def rows_of(found: Mapping[str, Any]) -> list[list[Any]]:
    """Rows of the table, an arm and a source each; the first arm has no difference."""
    rows: list[list[Any]] = []
    for number, arm in enumerate(found["arms"]):
        for name, of in arm["groups"].items():
            ends = [round(of[key], 4) for key in ("gain", "from", "to")] if number else [None] * 3
            real = ("yes" if of["real"] else "no") if number else None
            rows.append([arm["arm"], name, of["documents"], round(of["mean"], 4), *ends, real])
    return rows


def _words(arm: Mapping[str, Any], first: str, seeds: int, level: float, unit: _Unit) -> str:
    """What the figures of one arm say."""
    of = arm["groups"]["all"]
    size = f"{abs(of['gain']):.3f} {unit.name} ({level:.0%} interval {of['from']:+.3f} to {of['to']:+.3f})"
    side = "better" if of["gain"] > 0 else "worse"
    if of["real"]:
        said = f"{arm['arm']} is {side} than {first} by {size}: the difference is real, " + _agreed(seeds)
    else:
        why = "the interval holds 0" if of["from"] <= 0 <= of["to"] else "the seeds do not agree on its side"
        said = f"{arm['arm']} and {first} differ by {size}: no difference is shown, since {why}"
    others = _exceptions(arm["groups"], of["gain"])
    return said + (f"; the other way round on {', '.join(others)}" if others else "")


def _agreed(seeds: int) -> str:
    if seeds == 1:
        return "as far as one seed says: the interval excludes 0"
    return f"the interval excludes 0 and all {seeds} seeds agree"


def _exceptions(groups: Mapping[str, Mapping[str, Any]], gain: float) -> Sequence[str]:
    return [name for name, of in groups.items() if name != "all" and of["real"] and of["gain"] * gain < 0]
