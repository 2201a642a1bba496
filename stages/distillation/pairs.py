"""All pairs of the texts that a model wrote in one context: what stands in the same place often says the same.

Source: Jung et al. 2023 (Impossible Distillation, arXiv 2305.16635), section 2: sentences that a model writes behind
one context, at a low temperature, are near one another in meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from pipeline.bounds import Positive
from pipeline.contract import Context, Node
from pipeline.errors import RecipeError
from stages.chance import draws
from stages.documents import ID, PARENTS, TEXT, columns_of
from stages.neighbours import groups
from stages.new_base import BATCH_ROWS, NewBaseNode, NewRows

if TYPE_CHECKING:
    import pyarrow as pa

OWN = {"x": "string"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs(NewBaseNode):
    """Make a document of every two different texts of one group: `x` is one of them, `text` the other one.

    docs   texts, those of one group behind one another, as `generate` leaves its answers
    by     the column that tells groups apart
    most   pairs of a group, at most, drawn by the ids of both texts; null = all, which are k (k - 1) / 2 of k texts
    carry  columns of `x` that the pair has too, such as the group's name
    seed   of the draws: which pairs, and which text of a pair is `x`

    Equal texts of a group count as one. A group with a single text makes no pair; its documents count as `childless`.
    """

    docs: Node
    by: str = "prompt"
    most: Positive | None = None
    carry: tuple[str, ...] = ()
    seed: int = 0

    def check(self) -> None:
        have = columns_of(self.docs)
        if self.by not in have:
            raise RecipeError("pairs.by", f"no column {self.by!r}", f"one of {', '.join(sorted(have))}")
        for name in self.carry:
            if name not in have or name in (ID, TEXT, *OWN):
                raise RecipeError("pairs.carry", f"{name!r}", "columns of the texts that a pair has not itself")

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((ID, TEXT, self.by, *self.carry)))

    def columns(self) -> Mapping[str, str]:
        have = columns_of(self.docs)
        return {**OWN, **{name: have[name] for name in self.carry if name in have}}

    def phases(self):
        return (self.rows_phase(batch_rows=BATCH_ROWS, together=self.by),)

    def open(self, ctx: Context) -> NewRows:
        import pyarrow as pa

        def new_rows(table: pa.Table) -> pa.Table:
            ids, texts = table[ID].to_pylist(), table[TEXT].to_pylist()
            made = [
                pair
                for start, end in groups(table[self.by].to_pylist())
                for pair in self._pairs(list({texts[row]: row for row in reversed(range(start, end))}.values()), ids)
            ]
            first = pa.array([one for one, _ in made], pa.int64())
            return pa.table(
                {
                    TEXT: table[TEXT].take(pa.array([other for _, other in made], pa.int64())),
                    "x": table[TEXT].take(first),
                    PARENTS: pa.array([[ids[one], ids[other]] for one, other in made], pa.list_(pa.string())),
                }
                | {name: table[name].take(first) for name in self.carry}
            )

        return new_rows

    def _pairs(self, rows: list[int], ids: list[str]) -> Iterator[tuple[int, int]]:
        """(row of x, row of the other) of the pairs of a group, in the order of its rows."""
        pairs = list(combinations(sorted(rows), 2))
        drawn = draws([f"{ids[one]}\0{ids[other]}" for one, other in pairs], self.seed, "pairs").tolist()
        if self.most is not None:
            kept = sorted(range(len(pairs)), key=lambda at: drawn[at])[: self.most]
            pairs, drawn = [pairs[at] for at in sorted(kept)], [drawn[at] for at in sorted(kept)]
        for (one, other), draw in zip(pairs, drawn, strict=True):
            yield (other, one) if draw & 1 else (one, other)
