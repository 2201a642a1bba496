"""Nodes that hold nothing between batches."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Context, RowFunction, RowNode

if TYPE_CHECKING:
    import pyarrow as pa


class BatchNode(RowNode):
    """A row node that loads nothing: what it adds to a batch is a function of the batch and its fields."""

    @abstractmethod
    def rows(self, table: pa.Table) -> Columns:
        """The columns of one batch of alive rows."""

    def open(self, ctx: Context) -> RowFunction:
        return self.rows
