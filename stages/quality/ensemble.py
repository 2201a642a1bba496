"""Several quality scores as one: their ranks in the corpus, joined by a mean or an extreme.

Scores of different classifiers have different scales, and one classifier alone has one taste. Ranks have one scale.
Nemotron-CC (Su et al. 2024, arXiv 2412.02595) takes the best of several ranks, in twenty buckets and five levels.

Ranks among good documents say how usual a document is: the lowest of several measures of form (stop words, line ends,
copies) is how far its worst one lies from theirs. No junk is needed for it, so kinds that nobody has seen fall, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Count, Positive
from pipeline.contract import ONE, Columns, Context, Node, Result, RowFunction, RowPhase, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import HELD_OUT, ID, columns_of
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

POINTS = 4096  # of a score's distribution that are kept; a rank is exact to one of them
SUFFIX_BUCKET, SUFFIX_LEVEL = "_bucket", "_level"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble(Node):
    """Add the joined rank of some score columns: float32 in [0, 1], null where one of them is null.

    columns  number columns, high = good; a minus in front of a name says that low is: `-perplexity`
    rule     `mean`, `max` or `min` of the ranks
    among    documents with the same columns, among which a score is ranked; default: the documents themselves
    buckets  equal parts of [0, 1]; adds int32 `<as>_bucket`, from 0
    levels   first buckets of all levels but the lowest one; adds int32 `<as>_level`, from 0. The default is that of
             Nemotron-CC: low, medium-low, medium, medium-high, high
    as_      (`as` in a recipe) the name of the column

    A rank is the share of the documents that are not held out and score lower, ties counted half. Errors: `DataError`
    when a column has no score.
    """

    docs: Node
    columns: tuple[str, ...]
    rule: Literal["mean", "max", "min"] = "mean"
    among: Node | None = None
    buckets: Positive = 20
    levels: tuple[Count, ...] = (7, 12, 18, 19)
    as_: str = "quality"

    def check(self) -> None:
        if len(self.columns) < 1 or len(set(self._names.values())) < len(self.columns):
            raise RecipeError("ensemble.columns", f"{list(self.columns)}", "one or more score columns, each once")
        if self.buckets < 1 or list(self.levels) != sorted({*self.levels} & {*range(1, self.buckets)}):
            raise RecipeError(
                "ensemble.levels", f"{list(self.levels)} of {self.buckets} buckets", "ascending numbers of buckets"
            )

        for name in self._names.values():
            check_numbers("ensemble", columns_of(self.docs), columns=name)
        missing = [] if self.among is None else [n for n in self._names.values() if n not in columns_of(self.among)]
        if missing:
            raise RecipeError("ensemble.among", f"no column {missing[0]!r}", "the nodes before `docs` on it, too")

    @property
    def _names(self) -> dict[str, str]:
        """As it stands in `columns` -> the column."""
        return {name: name.removeprefix("-") for name in self.columns}

    def adds(self):
        return {self.as_: "float32", self.as_ + SUFFIX_BUCKET: "int32", self.as_ + SUFFIX_LEVEL: "int32"}

    def phases(self):
        return (
            TaskPhase(name="ranks", keys=one, run=self._ranks),
            RowPhase(open=self._open, needs=(ID, *self._names.values())),
        )

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 400 * 1024**2 + 16 * rows * len(self.columns)

    def _ranks(self, ctx: Context, key: str) -> Result:
        """The distribution of every column: `POINTS` of its scores, evenly spaced by rank."""
        import numpy as np
        import pyarrow.compute as pc

        of = "docs" if self.among is None else "among"
        marked = ctx.has_column(HELD_OUT, of)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.columns}
        for _, table in ctx.rows([ID, *self._names.values(), *([HELD_OUT] if marked else [])], of=of):
            if marked:
                table = table.filter(pc.invert(table[HELD_OUT]))
            for name, column in self._names.items():
                values = self._numbers(table, column) * (1 if name == column else -1)
                parts[name].append(values[~np.isnan(values)])
        points = {}
        for name, found in parts.items():
            scores = np.sort(np.concatenate([np.empty(0), *found]))
            if not len(scores):
                raise DataError(f"ensemble.columns {name}", "no row has a score", "a score of a node before this one")
            at = np.unique(np.linspace(0, len(scores) - 1, min(POINTS, len(scores))).round().astype(np.int64))
            points[name] = scores[at]
        with ctx.create(".npy") as path, open(path, "wb") as file:
            for values in points.values():
                np.save(file, values)
        return Result(counts={f"scores.{name}": sum(map(len, found)) for name, found in parts.items()})

    def _numbers(self, table: pa.Table, column: str) -> np.ndarray:
        return numbers_of(table, column, "ensemble.columns", nan_is_null=True)

    def _open(self, ctx: Context) -> RowFunction:
        import numpy as np

        with open(ctx.path("ranks", ONE[0], ".npy"), "rb") as file:
            points = {name: np.load(file) for name in self.columns}

        def rows(table: pa.Table) -> Columns:
            import pyarrow as pa

            scores = {
                name: self._numbers(table, column) * (1 if name == column else -1)
                for name, column in self._names.items()
            }
            ranks = np.stack([_rank(points[name], scores[name]) for name in self.columns])
            joined = getattr(ranks, self.rule)(axis=0).astype(np.float32)  # NaN where one is NaN
            missing = np.isnan(joined)
            bucket = np.minimum(np.where(missing, 0, joined) * self.buckets, self.buckets - 1).astype(np.int32)
            level = np.searchsorted(np.array(self.levels, np.int32), bucket, side="right").astype(np.int32)
            names = (self.as_, self.as_ + SUFFIX_BUCKET, self.as_ + SUFFIX_LEVEL)
            return Columns(
                added={
                    name: pa.array(values, mask=missing)
                    for name, values in zip(names, (joined, bucket, level), strict=True)
                }
            )

        return rows


def _rank(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Shares of the points below, ties half; NaN for a score that is none."""
    import numpy as np

    low, high = (np.searchsorted(points, scores, side=side) for side in ("left", "right"))
    return np.where(~np.isnan(scores), (low + high) / (2 * len(points)), np.nan)
