"""New documents from documents: a new base whose rows name the documents that they come from.

A `NewBaseNode` makes them shard by shard from batches of rows (1 -> N, or N -> 1 and pairs within a batch). What needs
rows of several shards at once is a node with a `TaskPhase` that hands its rows to a `BaseWriter`. Both give a row

    id            from the ids of its parents and the node that made it; or the id that it had, where it is the
                  document that it was before
    parents       list<string>, the ids of all documents that it was made from
    parent_base, parent_shard, parent_row
                  where the first parent is; null where a row was not made from the rows of one shard

so that `why` goes on from a new document to those it was made from.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Context, Law, NewShard, Node, Result, ShardPhase, shard_facts
from pipeline.errors import DataError
from stages.documents import ID, PARENT, PARENTS, TEXT
from stages.read.shard_files import ShardFile, schema_of
from stages.row_groups import RowGroups

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024
ID_DIGITS = 16  # of the hash that names the parents
NewRows = Callable[["pa.Table"], "pa.Table"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NewBaseNode(Node):
    """A node that makes new documents from the rows of `docs`; `open` says how.

    A subclass declares further columns in `columns()`. Rows that are made from the same parents must come from one
    batch: their ids count from 0 in it. Batches are of `BATCH_ROWS` alive rows of a shard, or of as many as
    `rows_phase` is told, so that rows that are made from several do not hang on how rows arrive.
    """

    docs: Node

    new_base = "shards"
    carries = False

    @property
    def writer(self) -> type[NewRowsWriter]:
        """What writes the new rows of a shard."""
        return NewRowsWriter

    @abstractmethod
    def open(self, ctx: Context) -> NewRows:
        """Runs once per worker: load models here. Returns the function from one batch of alive rows to the new rows.

        The function returns a table with `text` (string), `parents` (list<string>, ids of rows of the batch) and the
        columns of `columns()`, in an order that follows from the rows alone; and with `id` where a new row is the
        document that it was before.
        """

    def reads(self) -> tuple[str, ...]:
        """Columns that the function is given; `id` must be among them."""
        return (ID, TEXT)

    def columns(self) -> Mapping[str, str]:
        """Columns of the new rows beside id, text and parents: name -> type."""
        return {}

    def adds(self) -> Mapping[str, str]:
        return {**self.columns(), **PARENT}

    def phases(self):
        return (self.rows_phase(),)

    def rows_phase(
        self,
        *,
        batch_rows: int | None = BATCH_ROWS,
        commit_rows: int | None = None,
        own_pass: bool = False,
        together: str | None = None,
    ) -> ShardPhase:
        """Return the phase of the node; the options are those of a `ShardPhase`.

        `batch_rows=None`, batches as they come, is for a node that makes each new row from one row; `together` names
        the column whose groups no batch may part, for one that makes rows from several of a group.
        """
        return ShardPhase(
            name="shards",
            load=self.open,
            open=lambda ctx: self.writer(ctx, self),
            needs=(*self.reads(), "_row"),
            resources=self.resources(),
            batch_rows=batch_rows,
            commit_rows=commit_rows,
            own_pass=own_pass,
            together=together,
            law=Law("rows", "rows", ("parents", "childless")),
        )


class BaseWriter:
    """Writes rows as base shards of a task. Use `close` at the end; it returns what `shard_facts` takes."""

    def __init__(self, ctx: Context, name: str, columns: Mapping[str, str], ext: str = ".parquet") -> None:
        """`name` + `ext` without `.parquet` is the key of the shard; `columns` are all that rows have."""
        self.columns = {ID: "string", TEXT: "string", **columns}
        self._ctx, self._name, self._ext = ctx, name, ext
        self._file: ShardFile | None = None
        self._files = ExitStack()
        self._cut = RowGroups()

    def add(self, table: pa.Table) -> None:
        """Take rows; columns of the parents' places that a table lacks are null."""
        import pyarrow as pa

        if not table.num_rows:
            return
        schema = schema_of(self.columns)
        for name in self.columns:
            if name in PARENT and name not in table.column_names:
                table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
        self._write(self._cut.add(table.select(list(self.columns)).cast(schema)))

    def close(self) -> list[NewShard]:
        """Return the shard, or none where there was no row."""
        self._write(self._cut.end())
        shards = [] if self._file is None else [self._file.close()]
        self._files.close()
        return shards

    def _write(self, groups: Iterable[pa.Table]) -> None:
        import pyarrow.compute as pc

        for group in groups:
            if self._file is None:
                path = self._files.enter_context(self._ctx.create(self._ext))
                self._file = ShardFile(path, self._name, self._ext, schema_of(self.columns))
            self._file.write(group, pc.sum(pc.binary_length(group[TEXT])).as_py() or 0)


class NewRowsWriter:
    """New rows from the rows of one shard. A node that counts more than rows has one of its own."""

    def __init__(self, ctx: Context, node: NewBaseNode) -> None:
        self.ctx, self.node, self.shard = ctx, node, ctx.shard
        self.new_rows: NewRows = ctx.loaded
        self.place = f"{node.kind()} over {self.shard.name}"
        self._out = BaseWriter(ctx, self.shard.name, node.adds())
        self._counts: Counter[str] = Counter(rows=0, parents=0, childless=0, made=0)

    def work(self, table: pa.Table) -> pa.Table:
        """Return the new rows of one batch."""
        return self.placed(table, self.new_rows(table.select(list(self.node.reads()))))

    def placed(self, table: pa.Table, made: pa.Table) -> pa.Table:
        """Return new rows with their ids and the places of their parents, rows of `table`."""
        import pyarrow as pa

        wanted = {TEXT, PARENTS, *self.node.columns()}
        if missing := wanted - set(made.column_names):
            raise DataError(self.place, f"new rows without {sorted(missing)}", f"the columns {sorted(wanted)}")
        parents = [each or [] for each in made[PARENTS].to_pylist()]
        rows = dict(zip(table[ID].to_pylist(), table["_row"].to_pylist(), strict=True))
        if any(not each for each in parents):
            raise DataError(self.place, "a new row without parents", "the ids of rows in the batch")
        if unknown := next((parent for each in parents for parent in each if parent not in rows), None):
            raise DataError(self.place, f"the parent {unknown!r}", "the id of a row in the batch")
        if ID not in made.column_names:
            made = made.append_column(ID, pa.array(new_ids(self.ctx.fingerprint(), parents), pa.string()))
        places = {
            "parent_base": pa.repeat(self.shard.base, len(made)),
            "parent_shard": pa.repeat(self.shard.key, len(made)),
            "parent_row": pa.array([rows[each[0]] for each in parents], pa.int64()),
        }
        for name, values in places.items():
            made = made.append_column(name, values)
        return made.select(list(self._out.columns)).cast(schema_of(self._out.columns))

    def add(self, table: pa.Table, worked: pa.Table) -> None:
        import pyarrow.compute as pc

        used = pc.count_distinct(pc.list_flatten(worked[PARENTS])).as_py()
        self._counts.update(rows=len(table), parents=used, childless=len(table) - used, made=len(worked))
        self._out.add(worked)

    def finish(self) -> Result:
        return Result(dict(self._counts), shard_facts(self._out.close()))


def new_ids(fingerprint: str, parents: Sequence[Sequence[str]]) -> list[str]:
    """Return the ids of new rows: `<hash of node and parents, 16 hex digits>:<number among rows of equal parents>`."""
    counts: Counter[str] = Counter()
    found = []
    for each in parents:
        name = hashlib.sha256("\0".join([fingerprint, *each]).encode()).hexdigest()[:ID_DIGITS]
        found.append(f"{name}:{counts[name]}")
        counts[name] += 1
    return found
