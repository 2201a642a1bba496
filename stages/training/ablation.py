"""Which documents make the better model: arms that differ in nothing else, held against the first of them.

Documents are resampled in pairs (Efron and Tibshirani 1993, chapter 13; Koehn 2004 for the paired form): all models are
scored on the same draw, so what is hard about a document falls out of the difference. The interval speaks of documents;
of the chance in training the seeds speak, which is why they must agree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from pipeline.bounds import Positive
from pipeline.contract import ONE, Context, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.wants import Evaluation

if TYPE_CHECKING:
    import numpy as np

CHUNK = 64  # resamples at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation(Node):
    """Differences in held-out bits per byte between arms and the first arm, with their intervals. Writes
    `table/all.json`.

    runs       evaluations on the same documents: all seeds of the first arm, then of the second, ...
    labels     the names of the arms
    resamples  draws of documents with replacement
    level      of the interval

    A difference counts as real when its interval excludes 0 and every seed has its sign. Errors: `DataError` when the
    evaluations are not of the same documents.
    """

    runs: tuple[Evaluation, ...]
    labels: tuple[str, ...]
    resamples: Positive = 2000
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    seed: int = 0

    gives = "table"

    def check(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise RecipeError("ablation.labels", f"{list(self.labels)}", "two or more different names")
        if not self.runs or len(self.runs) % len(self.labels):
            raise RecipeError(
                "ablation.runs", f"{len(self.runs)} for {len(self.labels)} arms", "as many evaluations of every arm"
            )
        if self.resamples < 100 or not 0 < self.level < 1:
            raise RecipeError("ablation.resamples, level", f"{self.resamples}, {self.level}", "100 and more, a share")

    def phases(self):
        return (TaskPhase(name="table", keys=one, run=self._table),)

    def figures(self, ctx: Context):
        found = json.loads(ctx.path("table", ONE[0], ".json").read_text(encoding="utf-8"))
        share = f"{self.level:.0%}"
        columns = ["arm", "source", "documents", "bits per byte", "less than the first", f"{share} from", "to", "real"]
        yield {"kind": "table", "title": f"Arms against {self.labels[0]}", "columns": columns, "rows": rows_of(found)}
        yield {"kind": "text", "title": "In words", "lines": found["words"]}

    def _table(self, ctx: Context, key: str) -> Result:
        import numpy as np

        seeds = len(self.runs) // len(self.labels)
        tables = [self._scores(ctx, place) for place in range(len(self.runs))]
        first = tables[0]
        if any(table["id"] != first["id"] for table in tables):
            raise DataError("ablation.runs", "evaluations of other documents", "the same documents for all")
        size = np.array(first["bytes"], np.float64)
        nats = np.array([table["nats"] for table in tables]).reshape(len(self.labels), seeds, -1)
        sources = np.array([name or "" for name in first["source"]])
        groups = {"all": np.arange(len(size))}
        groups |= {name: np.flatnonzero(sources == name) for name in sorted(set(sources.tolist()) - {""})}
        arms = []
        for arm, label in enumerate(self.labels):
            of = {
                name: _held(nats[[0, arm]][:, :, rows], size[rows], self)
                for name, rows in groups.items()
                if size[rows].sum() > 0
            }
            arms.append({"arm": label, "groups": of})
        found = {"arms": arms, "seeds": seeds, "level": self.level}
        found["words"] = [_words(arm, self.labels[0], seeds, self.level) for arm in arms[1:]]
        with ctx.create(".json") as path:
            path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        facts = {arm["arm"]: arm["groups"]["all"]["bits_per_byte"] for arm in arms}
        return Result(counts={"documents": len(size)}, facts=facts)

    def _scores(self, ctx: Context, place: int) -> dict[str, list]:
        import pyarrow.parquet as pq

        path = ctx.path("score", ONE[0], ".parquet", of=("runs", place))
        return pq.read_table(path, columns=["id", "source", "nats", "bytes"]).to_pydict()


def _held(nats: np.ndarray, size: np.ndarray, node: Ablation) -> dict[str, Any]:
    """One arm against the first. nats: [2, seeds, documents], the first arm's and its own; size: bytes, [documents]."""
    own = nats[1].sum(1) / size.sum() / math.log(2)
    less = (nats[0] - nats[1]).mean(0) / math.log(2)  # [documents], over the seeds
    gains = (nats[0] - nats[1]).sum(1) / size.sum() / math.log(2)
    low, high = interval(less, size, node.resamples, node.level, node.seed)
    gain = float(less.sum() / size.sum())
    agree = bool((gains > 0).all() or (gains < 0).all())
    return {
        "documents": len(size), "bits_per_byte": float(own.mean()), "of_seeds": own.tolist(), "gain": gain,
        "gains_of_seeds": gains.tolist(), "from": low, "to": high, "real": agree and not low <= 0 <= high,
        "agree": agree,
    }  # fmt: skip


def interval(values: np.ndarray, size: np.ndarray, resamples: int, level: float, seed: int) -> tuple[float, float]:
    """The interval of sum(values) / sum(size) over draws of documents with replacement; percentiles."""
    import numpy as np

    draw = np.random.Generator(np.random.Philox(seed))
    found = []
    for start in range(0, resamples, CHUNK):
        rows = draw.integers(0, len(size), (min(CHUNK, resamples - start), len(size)))
        found.append(values[rows].sum(1) / size[rows].sum(1))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def rows_of(found: Mapping[str, Any]) -> list[list[Any]]:
    """Rows of the table, an arm and a source each; the first arm has no difference."""
    rows: list[list[Any]] = []
    for number, arm in enumerate(found["arms"]):
        for name, of in arm["groups"].items():
            ends = [round(of[key], 4) for key in ("gain", "from", "to")] if number else [None] * 3
            real = ("yes" if of["real"] else "no") if number else None
            rows.append([arm["arm"], name, of["documents"], round(of["bits_per_byte"], 4), *ends, real])
    return rows


def _words(arm: Mapping[str, Any], first: str, seeds: int, level: float) -> str:
    """What the figures of one arm say."""
    of = arm["groups"]["all"]
    size = f"{abs(of['gain']):.3f} bits per byte ({level:.0%} interval {of['from']:+.3f} to {of['to']:+.3f})"
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
