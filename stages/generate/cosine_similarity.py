"""How alike two vectors of a document are; of an answer and the expected one, by a model of sentences, SemScore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Node
from stages.batches import BatchNode
from stages.documents import ID, columns_of
from stages.generate.vectors import check_vectors, cosines

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class CosineSimilarity(BatchNode):
    """Add the cosine of two columns of vectors, float32; null where a row has not both.

    left   a column of vectors, as `embed` adds them
    right  another one, of the same width
    as_    (`as` in a recipe) the name of the column

    Source: the cosine of an answer and the expected one under a sentence model is SemScore (Aynetdinov and Akbik 2024,
    arXiv 2401.17072).
    """

    docs: Node
    left: str
    right: str
    as_: str = "cosine"

    def check(self) -> None:
        check_vectors("cosine_similarity", columns_of(self.docs), left=self.left, right=self.right)

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(dict.fromkeys((ID, self.left, self.right)))

    def adds(self) -> Mapping[str, str]:
        return {self.as_: "float32"}

    def rows(self, table: pa.Table) -> Columns:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pa.array(cosines(table, self.left, self.right, "cosine_similarity"), pa.float32())
        both = pc.and_(table[self.left].is_valid(), table[self.right].is_valid())
        return Columns(added={self.as_: pc.if_else(both.combine_chunks(), found, None)})
