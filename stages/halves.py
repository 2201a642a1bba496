"""Two halves of the documents, so that a model can be trained on one and asked about the other.

Cross-fitting: a loss under a model that was trained on the same document measures memory, not the document. The half is
drawn from the duplicate cluster where dedup has named one, so that no near-copy of a document stands in the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Node
from stages.batches import BatchNode
from stages.chance import draws
from stages.documents import CLUSTER_ID, HALF, ID, carried, cluster_or_id


@dataclass(frozen=True, kw_only=True, eq=False)
class Halves(BatchNode):
    """Add `half` (int8): 0 or 1, a keyed hash of the document's id (of its cluster, where there is one).

    seed  key of the hash: another one gives other halves
    """

    docs: Node
    seed: int = 0

    def adds(self):
        return {HALF: "int8"}

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return (ID, *carried(self.docs, CLUSTER_ID))

    def rows(self, table) -> Columns:
        return Columns(added={HALF: (draws(cluster_or_id(table), self.seed, "halves") % 2).astype("int8")})
