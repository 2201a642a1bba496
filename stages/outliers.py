"""Limits from the corpus: documents beyond a quantile of a score go, language by language.

A fixed threshold is that of somebody's corpus. CulturaX (Nguyen et al. 2023, arXiv 2309.09400, section 2.2) takes
quantiles of each measure and language instead, and Yi follows it. Limits are values of the corpus, exact, so they are
the same for any order of the shards. A document at a limit stays: of a measure that is 0 nearly everywhere few go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.bounds import Share
from pipeline.contract import ONE, Columns, Context, Node, Removed, Result, RowFunction, RowPhase, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import HELD_OUT, ID, columns_of
from stages.number_columns import check_numbers, numbers_of
from stages.scores import GROUPS, members

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROUNDING = 1e-9  # 10 % of 100 documents are ten, though 1 - 0.9 is a little less than 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Outliers(Node):
    """Drop documents that lie beyond quantiles of the corpus; reason `outliers.<column>` (value, limit).

    min  number column -> quantile; at most this share has less, and goes: `{rps_doc_word_count: 0.05}`
    max  number column -> quantile; at most what this share leaves has more, and goes: `{gopher_dup_lines: 0.95}`
    per  a column (`lang`, `source`): each of its values has limits of its own

    Held-out documents have no say in where a limit lies, and are held against it. A document without a score (null,
    NaN) stays: the measure does not apply to it. Errors: `DataError` when no document has a score in one of the
    columns, and for an infinite one.
    """

    docs: Node
    min: dict[str, Share] = field(default_factory=dict)
    max: dict[str, Share] = field(default_factory=dict)
    per: str | None = None

    version = 1

    @property
    def reasons(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(f"outliers.{column}" for column in self._measures())

    def check(self) -> None:
        have = columns_of(self.docs)
        for side, limits in (("min", self.min), ("max", self.max)):
            for column in limits:
                check_numbers("outliers", have, **{side: column})
        if not self._measures():
            raise RecipeError("outliers", "neither min nor max", "a column and its quantile: `max: {perplexity: 0.95}`")
        if self.per is not None and self.per not in have:
            raise RecipeError("outliers.per", f"no column {self.per!r}", f"one of {', '.join(sorted(have))}")
        for column in self.min.keys() & self.max.keys():
            if self.min[column] >= self.max[column]:
                found = f"{column}: {self.min[column]}, not below max, {self.max[column]}"
                raise RecipeError("outliers.min", found, "a quantile below that of max")

    def _measures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.min, *self.max)))

    def _needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((ID, *self._measures(), *((self.per,) if self.per else ()))))

    def phases(self):
        return (
            TaskPhase(name="limits", keys=one, run=self._limits),
            RowPhase(open=self._open, needs=self._needs()),
        )

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 400 * 1024**2 + 16 * rows * len(self._measures())

    def figures(self, ctx: Context):
        limits = ctx.result("limits", ONE[0]).facts["limits"]
        rows = [
            [group or "all", column, *found.values()]
            for group, columns in sorted(limits.items())
            for column, found in columns.items()
        ]
        columns = [self.per or "documents", "column", "with a score", "least", "most"]
        yield {
            "kind": "table",
            "section": "scores",
            "title": "Limits from the corpus",
            "columns": columns,
            "rows": rows,
        }

    def _limits(self, ctx: Context, key: str) -> Result:
        """Group -> column -> its two limits, null where there is none."""
        import numpy as np

        parts: dict[str, dict[str, list[np.ndarray]]] = {}
        for group, column, scores in self._scores(ctx):
            parts.setdefault(group, {}).setdefault(column, []).append(scores)
            if len(parts) > GROUPS:
                raise DataError(f"outliers.per {self.per}", f"more than {GROUPS:,} values", "a column of few values")
        limits: dict[str, dict[str, dict[str, float | int | None]]] = {}
        for group, columns in sorted(parts.items()):
            for column in (name for name in self._measures() if name in columns):
                scores = np.sort(np.concatenate(columns[column]))
                low, high = self.min.get(column), self.max.get(column)
                limits.setdefault(group, {})[column] = {
                    "scored": len(scores),
                    "min": None if low is None else float(scores[_first_above(low, len(scores))]),
                    "max": None if high is None else float(scores[_last_within(high, len(scores))]),
                }
        for column in self._measures():
            if not any(column in columns for columns in limits.values()):
                raise DataError(
                    f"outliers {column}", "no document has a score", "a score for some that are not held out"
                )
        return Result(counts={"groups": len(limits)}, facts={"limits": limits})

    def _scores(self, ctx: Context) -> Iterator[tuple[str, str, np.ndarray]]:
        """Of each batch, group and column the scores that count."""
        import numpy as np
        import pyarrow.compute as pc

        marked = ctx.has_column(HELD_OUT)
        for _, table in ctx.rows([*self._needs(), *([HELD_OUT] if marked else [])]):
            if marked:
                table = table.filter(pc.invert(table[HELD_OUT]))
            numbers = {name: self._numbers(table, name) for name in self._measures()}
            for group, mine in members(self.per, table):
                for name, scores in numbers.items():
                    found = scores[mine & ~np.isnan(scores)]
                    if len(found):
                        yield group, name, found

    def _numbers(self, table: pa.Table, name: str) -> np.ndarray:
        return numbers_of(table, name, "outliers", nan_is_null=True)  # a NaN of the user's is no score either

    def _open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        limits = ctx.result("limits", ONE[0]).facts["limits"]

        def rows(table: pa.Table) -> Columns:
            groups = list(members(self.per, table))
            found = []
            for name in self._measures():
                scores, limit = self._numbers(table, name), np.full(table.num_rows, np.nan)
                for group, mine in groups:
                    of = limits.get(group, {}).get(name, {})
                    for side, beyond in (("min", np.less), ("max", np.greater)):
                        if of.get(side) is not None:
                            limit[mine & beyond(scores, of[side])] = of[side]  # NaN is beyond nothing
                stays = np.isnan(limit)
                reason = pa.array(np.full(table.num_rows, f"outliers.{name}"), pa.string(), mask=stays)
                found.append(Removed(reason, pa.array(scores, mask=stays), pa.array(limit, mask=stays)))
            return Columns(removed=Removed.first(found))

        return rows


def _first_above(share: float, count: int) -> int:
    """The place, in ascending order, of the least score that stays where at most `share` of all go."""
    return min(math.floor(share * count + ROUNDING), count - 1)


def _last_within(share: float, count: int) -> int:
    """The place of the greatest score that stays where at most `1 - share` of all go."""
    return count - 1 - _first_above(1 - share, count)
