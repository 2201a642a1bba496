"""The stored scores of a node as columns: every document that it saw, what it decided, and what it would decide.

No scorer runs and nothing is written. A node that decides from its own columns decides again; a node that chooses among
stored columns of others (`select`) chooses again; one that decides from files of its own (a dedup) judges them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Node, Result, RowNode, RowPhase, TaskPhase
from pipeline.errors import UserError
from siftloom.ask.again import decided_again

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.run import StoredNode, StoredRun

GROUPS = ("lang", "source")  # columns by which counts are broken down, where the documents carry them


@dataclass(frozen=True)
class Seen:
    """A base shard as a node saw it: `view` reads it, `columns` can be asked for, `own` is the node's own side-car."""

    view: Any
    columns: frozenset[str]
    own: Any


def shards_of(run: StoredRun, view: StoredNode) -> Iterator[Seen]:
    """The base shards of a finished node; those of a node without decisions have no side-car of its own."""
    from pipeline.results.rows import ShardView

    stream = run.manifests.stream(view.manifest)
    for base in stream.shards:
        chain = stream.chain(base.shard)
        before, own = (chain[:-1], chain[-1]) if view.manifest["row_phase"] else (chain, None)
        columns = {*stream.base_columns[base.shard.base], *(name for link in before for name in link.columns)}
        yield Seen(ShardView(run.store, base, before), frozenset(columns), own)


class ScoredDocuments:
    """The documents that a node saw, in order.

    table   one row a document: `id`, the `GROUPS` that there are, `asked` columns of earlier nodes, the node's own
    shard   number of the base shard of each row; `row`: its number in there
    now     why each was removed, null for those that were kept
    """

    def __init__(self, run: StoredRun, view: StoredNode, asked: Iterable[str] = ()) -> None:
        import pyarrow as pa

        self.run, self.view = run, view
        self.shards = list(shards_of(run, view))
        self.own = _plain_columns(view.manifest["adds"])
        tables, shards, rows, reasons = [], [], [], []
        names = pa.array([None, *view.manifest["reasons"]], pa.string())
        for number, seen in enumerate(self.shards):
            wanted = ["id", *(name for name in dict.fromkeys((*GROUPS, *asked)) if name in seen.columns)]
            side = None if seen.own is None else seen.view.read_side_car(seen.own, ["state", *self.own])
            for start, mask, table in seen.view.batches(wanted):
                at = np.flatnonzero(mask)
                table = table.take(pa.array(at))
                if side is not None:
                    here = side.slice(start, len(mask)).take(pa.array(at))
                    reasons.append(names.take(here["state"].combine_chunks().cast(pa.int32())))
                    for name in self.own:
                        table = table.append_column(name, here[name])
                tables.append(table)
                shards.append(np.full(len(at), number, np.int32))
                rows.append(start + at)
        empty = pa.table({"id": pa.array([], pa.string())})
        self.table: pa.Table = pa.concat_tables(tables, promote_options="default").combine_chunks() if tables else empty
        self.shard = np.concatenate(shards) if shards else np.empty(0, np.int32)
        self.row = np.concatenate(rows) if rows else np.empty(0, np.int64)
        self.now: pa.Array = (
            pa.chunked_array(reasons, pa.string()).combine_chunks() if reasons else pa.nulls(len(self.row), pa.string())
        )

    @property
    def groups(self) -> list[str]:
        """Those of `GROUPS` that the documents carry."""
        return [name for name in GROUPS if name in self.table.column_names]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Bytes of every document's text, as the node saw it. Reads all texts."""
        import pyarrow.compute as pc

        found = np.zeros(len(self.row), np.int64)
        for at, texts in self._batches(np.arange(len(self.row))):
            found[at] = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
        return found

    def texts(self, at: Sequence[int]) -> list[str]:
        """The texts of some documents, given by their places in `table`."""
        found: dict[int, str] = {}
        for places, texts in self._batches(np.unique(np.array(at, np.int64))):
            found |= dict(zip(places.tolist(), texts.to_pylist(), strict=True))
        return [found.get(place) or "" for place in at]

    def text_batches(self, at: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
        """(places, texts) of ascending places, batch by batch; only the row groups that hold them are read."""
        yield from self._batches(at)

    def _batches(self, at: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
        import pyarrow as pa

        for number in np.unique(self.shard[at]).tolist():
            mine = at[self.shard[at] == number]
            rows = self.row[mine]
            for start, mask, table in self.shards[number].view.batches(["text"], rows):
                low, high = np.searchsorted(rows, [start, start + len(mask)])
                if low < high:
                    yield mine[low:high], table["text"].take(pa.array(rows[low:high] - start))

    def decide(self, node: Node) -> pa.Array:
        """Why each document would be removed by the node with these fields, null for those that it would keep.

        Raises UserError for a node that decides from more than stored columns.
        """
        import pyarrow as pa

        phases = node.phases()
        if isinstance(node, RowNode) and type(node).decide is not RowNode.decide:
            removed = node.decide(self.table.select(list(self.own)))
        elif any(not isinstance(phase, TaskPhase) for phase in phases[:-1]):
            return decided_again(self.view, [seen.view for seen in self.shards], node)
        else:
            removed = self._chosen(node)
        return pa.nulls(len(self.row), pa.string()) if removed is None else removed.reason.cast(pa.string())

    def _chosen(self, node: Node) -> Any:
        phases = node.phases()
        rows = phases[-1]
        if not isinstance(rows, RowPhase) or "text" in rows.needs:
            raise UserError(
                self.view.label, f"a {self.view.kind}, which decides from more than stored columns",
                "a node that scores and decides", f"siftloom run RECIPE {self.view.label} -s ..., then siftloom diff",
            )  # fmt: skip
        memory = Memory(self, node)
        for phase in phases[:-1]:
            for key in phase.keys(memory):  # type: ignore[union-attr, arg-type]
                memory.results[phase.name, key] = phase.run(memory, key)  # type: ignore[union-attr, arg-type]
        found: Columns = rows.open(memory)(self.columns(rows.needs))  # type: ignore[arg-type]
        return found.removed

    def columns(self, names: Iterable[str]) -> pa.Table:
        """Columns of the documents, those of earlier nodes too, which are read when they are first asked for."""
        names = list(names)
        missing = [name for name in names if name not in self.table.column_names]
        if missing:
            more = ScoredDocuments(self.run, self.view, missing).table
            table = self.table  # which another thread may have added some of them to meanwhile
            for name in missing:
                if name not in table.column_names:
                    table = table.append_column(name, more[name])
            self.table = table
            return table.select(names)
        return self.table.select(names)


@dataclass
class Memory:
    """What a node's tasks are given when they are tried in memory: stored rows, and no files."""

    scores: ScoredDocuments
    node: Node
    cpus: int = 1
    results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def has_column(self, name: str, of: str = "docs") -> bool:
        return all(name in seen.columns for seen in self.scores.shards)

    def rows(self, columns: Sequence[str], of: str = "docs", shards: Any = None, only: Any = None) -> Iterator[Any]:
        if {"text", "_row"} & set(columns):
            raise UserError(self.scores.view.label, "a node that reads texts", "a node that scores and decides")
        table = self.scores.columns(columns)
        for number, seen in enumerate(self.scores.shards):
            low, high = np.searchsorted(self.scores.shard, [number, number + 1])
            yield seen.view.base.shard, table.slice(low, high - low)

    def result(self, phase: str, key: str, of: Any = None) -> Result:
        return self.results[phase, key]

    def __getattr__(self, name: str) -> Any:
        view = self.scores.view
        raise UserError(
            view.label, f"a {view.kind}, which works on files", "a node that scores and decides",
            f"siftloom run RECIPE {view.label} -s ..., then siftloom diff",
        )  # fmt: skip


def _plain_columns(adds: dict[str, str]) -> tuple[str, ...]:
    """The columns that hold one value a document; vectors say nothing to a threshold."""
    return tuple(name for name, kind in adds.items() if "[" not in str(kind) and "list" not in str(kind))
