"""Whether an answer is the expected one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Node
from pipeline.errors import RecipeError
from stages.batches import BatchNode
from stages.documents import TEXT, columns_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactMatch(BatchNode):
    """Add a bool: whether the text is the expected answer, but for case, punctuation, English articles and white space.

    expected  a column of answers; where it is null, so is the match
    whole     the whole text must be the answer; else its first line
    as_       (`as` in a recipe) the name of the column

    Source: the exact match of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250).
    """

    docs: Node
    expected: str
    whole: bool = False
    as_: str = "exact"

    def check(self) -> None:
        columns = columns_of(self.docs)
        if columns.get(self.expected) != "string":
            found = f"{self.expected!r} of type {columns.get(self.expected, 'none')}"
            texts = ", ".join(sorted(name for name, kind in columns.items() if kind == "string"))
            raise RecipeError("exact_match.expected", found, f"a column of text: {texts}")

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (TEXT, self.expected)

    def adds(self) -> Mapping[str, str]:
        return {self.as_: "bool"}

    def rows(self, table: pa.Table) -> Columns:
        import pyarrow as pa

        from stages.teaching.answers import normalised

        texts = table[TEXT].to_pylist()
        if not self.whole:
            texts = [text.strip().partition("\n")[0] for text in texts]
        pairs = zip(texts, table[self.expected].to_pylist(), strict=True)
        found = [None if expected is None else normalised(text) == normalised(expected) for text, expected in pairs]
        return Columns(added={self.as_: pa.array(found, pa.bool_())})
