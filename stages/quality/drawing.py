"""Documents for a classifier: a keyed draw of those that are long enough, as single lines.

The draw is of usable documents: one that is too short, or held out, takes no place. What is drawn depends on seed and
id alone, so neither shards nor workers nor the order of documents has a say in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pipeline.contract import Context
from stages.chance import draws, share_limit
from stages.documents import HELD_OUT, ID, SOURCE, TEXT
from stages.quality.lines import Normaliser

if TYPE_CHECKING:
    import pyarrow as pa


class LabelledLine(NamedTuple):
    """A drawn document. Sorted by its draw, so that labels are mixed as by chance."""

    draw: int
    id: str
    label: str
    line: str
    tested: bool  # it is not trained on
    outside: bool  # of a source that is not trained on


class Draw(NamedTuple):
    """At most `most` documents of a label; `test_share` of them, and all of `test_sources`, are for the test."""

    seed: int
    most: int
    test_share: float
    test_sources: tuple[str, ...]
    normaliser: Normaliser


def drawn_documents(
    ctx: Context, of: str, how: Draw, label: str | None = None, column: str | None = None
) -> list[LabelledLine]:
    """The drawn documents of an input, in the order of their draws; all have one `label`, or that of a column.

    A null in the column leaves the document out. Documents of outside sources have a limit of their own.
    """
    kept: dict[tuple[str, bool], _Smallest] = {}
    for table in _batches(ctx, of, [ID, TEXT, *([column] if column else [])]):
        names = table[ID].to_pylist()
        numbers = draws(names, how.seed, "train_quality").tolist()
        tested = (draws(names, how.seed, "train_quality test") < share_limit(how.test_share)).tolist()
        sources = table[SOURCE].to_pylist() if SOURCE in table.column_names else [None] * len(names)
        labels = [label] * len(names) if column is None else table[column].to_pylist()
        lines = how.normaliser.lines(table[TEXT])
        for number, name, one, line, test, source in zip(numbers, names, labels, lines, tested, sources, strict=True):
            if line is None or one is None:
                continue
            outside = source in how.test_sources
            document = LabelledLine(number, name, str(one), line, test or outside, outside)
            kept.setdefault((document.label, outside), _Smallest(how.most)).add(document)
    return sorted(document for of_label in kept.values() for document in of_label.documents())


class _Smallest:
    """The documents with the smallest draws; never more than twice as many are held."""

    def __init__(self, most: int) -> None:
        self.most, self._held, self._limit = most, list[LabelledLine](), float("inf")

    def add(self, document: LabelledLine) -> None:
        if document.draw > self._limit:
            return
        self._held.append(document)
        if len(self._held) >= 2 * self.most + 1000:
            self._held = self.documents()
            self._limit = self._held[-1].draw

    def documents(self) -> list[LabelledLine]:
        return sorted(self._held)[: self.most]


def _batches(ctx: Context, of: str, columns: list[str]) -> Iterator[pa.Table]:
    """Rows that are not held out, with their source where they have one."""
    import pyarrow.compute as pc

    marked, placed = ctx.has_column(HELD_OUT, of=of), ctx.has_column(SOURCE, of=of)
    more = [name for name, there in ((HELD_OUT, marked), (SOURCE, placed)) if there and name not in columns]
    for _, table in ctx.rows([*columns, *more], of=of):
        yield table.filter(pc.invert(table[HELD_OUT])) if marked else table
