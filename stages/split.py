"""Which documents are held out: never trained on, the ground of every evaluation.

A mark, no removal. It is drawn from the duplicate cluster where dedup has named one, so that copies of a
held-out document are held out with it, else from the document's id. Adding documents moves no other one to
the other side.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import ShareBelowOne
from pipeline.contract import Columns, Node
from stages.batches import BatchNode
from stages.chance import draws, share_limit
from stages.documents import CLUSTER_ID, HELD_OUT, ID, carried, cluster_or_id


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(BatchNode):
    """Mark held-out documents in `held_out` (bool): a keyed draw, by duplicate cluster where there are clusters.

    held_out  share of the documents (of the clusters) that is marked
    """

    docs: Node
    held_out: ShareBelowOne = 0.02
    seed: int = 0

    def adds(self):
        return {HELD_OUT: "bool"}

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return (ID, *carried(self.docs, CLUSTER_ID))

    def rows(self, table) -> Columns:
        drawn = draws(cluster_or_id(table), self.seed, "split") < share_limit(self.held_out)
        return Columns(added={HELD_OUT: drawn})
