"""Keep documents by a score: the best share of them, those between two values, those of a condition, or a draw.

A cut is computed from all scores, not estimated, and rows that tie at it are told apart by a draw from their id; so
exactly the asked share stays, for any order of the shards. Held-out rows have no say in where a cut lies, but it is
held against them too: an evaluation on documents of the selected kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.bounds import AmountAboveZero, Share, ShareAboveZero
from pipeline.contract import (
    ONE,
    Columns,
    Context,
    Node,
    Removed,
    RowFunction,
    RowPhase,
    TaskPhase,
    one,
    threshold,
)
from pipeline.errors import RecipeError
from stages.documents import ID, columns_of
from stages.expression import Expression, parse
from stages.scores import DRAW, HIGH, LOW, NO_SCORE, Limit, cut, cut_off, drawn

if TYPE_CHECKING:
    import pyarrow as pa

WHERE = "select.where"


@dataclass(frozen=True, kw_only=True, eq=False)
class Select(Node):
    """Keep rows by a number, a condition or a draw. Exactly one of these ways:

    keep_fraction  share of the scored rows that are not held out, rounded to whole rows: the best ones by `by`, or
                   with `sampling: hash` those whose draw says so, each by itself
    min, max       the lowest value of `by` that stays, the highest, or both
    where          a condition over columns, such as `lang == 'en' or quality > 0.5`
    sampling       `pareto`: a row stays when a draw from a Pareto distribution with `alpha` is above 1 - `by`, a score
                   from 0 to 1 (GPT-3, Brown et al. 2020, appendix A: alpha 9): mostly good ones, and some of all

    alpha   of the Pareto distribution: the larger, the fewer of the low scores stay
    by      a number column, or an expression: `quality - 0.1 * log(perplexity)`
    per     a column (`lang`, `source`, `topic`): each of its values has a cut of its own. `keep_fraction`, `min` and
            `max` may then be mappings from its values; the values that they leave out stay whole
    lowest  low is good: of a perplexity
    seed    of the draws, which are keyed by the ids of rows

    Removes with `select.low` or `select.high` (value, cut), `select.where`, `select.draw` (draw and share, from 0 to 1)
    and `select.no_score` (null, NaN, infinite; a condition that is neither true nor false). Errors: `DataError` when no
    row has a score.
    """

    docs: Node
    by: str | None = None
    keep_fraction: ShareAboveZero | dict[str, Share] | None = threshold(None)
    min: Limit = threshold(None)
    max: Limit = threshold(None)
    where: str | None = threshold(None)
    per: str | None = None
    lowest: bool = False
    sampling: Literal["best", "hash", "pareto"] = "best"
    alpha: AmountAboveZero = threshold(9.0)
    seed: int = 0

    version = 3
    reasons = (LOW, NO_SCORE, HIGH, WHERE, DRAW)

    def check(self) -> None:
        ways = {
            "keep_fraction": self.keep_fraction is not None, "min, max": self.min is not None or self.max is not None,
            "where": self.where is not None, "sampling: pareto": self.sampling == "pareto",
        }  # fmt: skip
        if sum(ways.values()) != 1:
            found = " and ".join(name for name, used in ways.items() if used) or "none"
            raise RecipeError("select", f"ways to choose: {found}", f"one of {'; '.join(ways)}")
        for share in _shares(self.keep_fraction):
            if not 0 <= share <= 1 or (share == 0 and not isinstance(self.keep_fraction, Mapping)):
                raise RecipeError("select.keep_fraction", f"{share}", "a share above 0, at most 1")
        if self.sampling == "hash" and self.keep_fraction is None:
            raise RecipeError("select.sampling", "hash without keep_fraction", "the share that is drawn")
        if self.per is None and any(isinstance(each, Mapping) for each in (self.keep_fraction, self.min, self.max)):
            raise RecipeError("select.per", "nothing", "the column whose values the mapping names")
        have = columns_of(self.docs) if isinstance(self.docs, (Node, tuple)) else None
        if self.per is not None and have is not None and self.per not in have:
            raise RecipeError("select.per", f"no column {self.per!r}", f"one of {', '.join(sorted(have))}")
        scored = self.where is None and self.sampling != "hash"
        if scored != (self.by is not None):
            raise RecipeError(
                "select.by", f"{self.by!r}", "a column or an expression" if scored else "nothing: no score is used"
            )
        if have is not None:
            text = self.by if self.where is None else self.where
            found = None if text is None else parse(text, "select.by" if self.where is None else "select.where", have)
            if found is not None and self.where is not None and not found.condition and have.get(self.where) != "bool":
                raise RecipeError("select.where", f"{self.where!r}, a number", "a condition, such as quality > 0.5")

    def read(self) -> Expression | None:
        text = self.by if self.where is None else self.where
        return None if text is None else parse(text, "select.by", columns_of(self.docs))

    def as_score(self, limit: float | None) -> float | None:
        """A limit in the precision of the score: of a float32 column a value at the limit stays."""
        import numpy as np

        single = limit is not None and self.by is not None and columns_of(self.docs).get(self.by) == "float32"
        return float(np.float32(limit)) if single else limit

    def needs(self) -> tuple[str, ...]:
        read = self.read()
        names = (ID, *(read.columns if read else ()), *((self.per,) if self.per else ()))
        return tuple(dict.fromkeys(names))

    def _has_cut(self) -> bool:
        return self.where is None and self.sampling == "best"

    def phases(self):
        found = TaskPhase(name="cut", keys=one, run=lambda ctx, key: cut(self, ctx))
        rows = RowPhase(open=self._open, needs=self.needs())
        return (found, rows) if self._has_cut() else (rows,)

    def figures(self, ctx: Context):
        if not self._has_cut():
            return
        facts = ctx.result("cut", ONE[0]).facts
        removed = "above" if self.lowest else "below"
        marks = []
        if self.per is None:
            (bounds,) = facts["groups"].values()
            if self.keep_fraction is not None:
                marks = [{"x": bounds["cut"], "label": "cut", "removed": removed}]
            else:
                sides = ((bounds["min"], "below"), (bounds["max"], "above"))
                marks = [{"x": x, "label": "cut", "removed": side} for x, side in sides if x is not None]
        yield {
            "kind": "histogram",
            "section": "scores",
            "title": f"{self.by} of the documents that are not held out",
            "x": self.by,
            "edges": facts["edges"],
            "counts": facts["counts"],
            "marks": marks,
        }
        if self.per is not None:
            names = ("cut",) if self.keep_fraction is not None else ("min", "max")
            rows = [
                [name, each["scored"], each["kept"], *(each[key] for key in names)]
                for name, each in sorted(facts["groups"].items(), key=lambda item: (-item[1]["scored"], item[0]))[:50]
            ]
            columns = [self.per, "documents", "stay", *names]
            yield {"kind": "table", "title": f"{self.by}, by {self.per}", "columns": columns, "rows": rows}

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 400 * 1024**2 + 16 * rows

    def _open(self, ctx: Context) -> RowFunction:
        read = self.read()
        bounds = ctx.result("cut", ONE[0]).facts["groups"] if self._has_cut() else {}

        def rows(table: pa.Table) -> Columns:
            values = None if read is None else read.values(table)
            if self.where is not None:
                return Columns(removed=_unless(values))
            found = cut_off(self, table, values, bounds) if self._has_cut() else drawn(self, table, values)
            return Columns(removed=found)

        return rows


def _unless(condition: Any) -> Removed:
    import pyarrow.compute as pc

    condition = condition.cast("bool")  # of a column of bools alone, an expression has the numbers
    return Removed.first([Removed.where(pc.is_null(condition), NO_SCORE), Removed.where(pc.invert(condition), WHERE)])


def _shares(limit: Limit) -> tuple[float, ...]:
    return tuple(limit.values()) if isinstance(limit, Mapping) else () if limit is None else (limit,)
