"""How near a translation comes to an expected one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Context, Node, RowFunction, RowNode
from pipeline.errors import MissingExtra
from stages.distillation.critics import check_text
from stages.documents import TEXT

if TYPE_CHECKING:
    import pyarrow as pa

LIBRARY = "sacrebleu"
WORD_ORDER = 2  # chrF++


@dataclass(frozen=True, kw_only=True, eq=False)
class Chrf(RowNode):
    """Add chrF++ of the text against an expected one: float32 from 0 to 100, null where nothing is expected.

    expected  a column of expected texts
    as_       (`as` in a recipe) the name of the column

    Source: Popovic 2017 (chrF++: words helping character n-grams), as `sacrebleu` counts it for single sentences (extra
    `translation`).
    """

    docs: Node
    expected: str
    as_: str = "chrf"

    libraries = (LIBRARY,)

    def check(self) -> None:
        check_text("chrf.expected", self.expected, self.docs)

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (TEXT, self.expected)

    def adds(self) -> Mapping[str, str]:
        return {self.as_: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        score = chrf("chrf")

        def rows(table: pa.Table) -> Columns:
            found = score(table[TEXT].to_pylist(), table[self.expected].to_pylist())
            return Columns(added={self.as_: pa.array(found, pa.float32())})

        return rows


def chrf(place: str) -> Callable[[Sequence[str | None], Sequence[str | None]], list[float | None]]:
    """chrF++ of texts against expected ones; null where one of the two is."""
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtra(place, str(error), LIBRARY, "pip install 'siftloom[translation]'") from error
    metric = CHRF(word_order=WORD_ORDER)

    def scored(texts: Sequence[str | None], expected: Sequence[str | None]) -> list[float | None]:
        pairs = zip(texts, expected, strict=True)
        return [
            None if text is None or wanted is None else metric.sentence_score(text, [wanted]).score
            for text, wanted in pairs
        ]

    return scored
