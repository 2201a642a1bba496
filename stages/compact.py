"""Lay the rows that are still alive down as a new base: one copy now, and no later stage reads the removed ones.

Columns beside the text cost little while most rows live; once few do, each text pass reads mostly rows that are gone,
and `siftloom plan` says when a copy pays. Ids, the current text and every column go along, and each row names the one
that it was (`stages/new_base.py`). Shards stay as they are cut, so they shrink with their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Context
from stages.documents import ID, PARENT, PARENTS, TEXT, columns_of
from stages.new_base import NewBaseNode, NewRows

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Compact(NewBaseNode):
    """A new base from the alive rows of `docs`.

    Adds: `parents` list<string> [ids], `parent_base`, `parent_shard` string, `parent_row` int64.
    """

    version = 3
    carries = True

    def phases(self):
        return (self.rows_phase(batch_rows=None),)

    def reads(self) -> tuple[str, ...]:
        return (ID, TEXT, *self.columns())

    def columns(self) -> dict[str, str]:
        """Return the carried columns: all columns but the origin of a former new base."""
        return {name: kind for name, kind in columns_of(self.docs).items() if name not in (ID, TEXT, *PARENT)}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 40 * rows

    def open(self, ctx: Context) -> NewRows:
        return _same


def _same(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    ids = table[ID].combine_chunks()
    offsets = pa.array(range(len(ids) + 1), pa.int32())
    return table.append_column(PARENTS, pa.ListArray.from_arrays(offsets, ids))
