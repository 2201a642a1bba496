"""One phase at work on one shard: rows in, rows that stay out, and at the end its files and its receipt."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contract import RowPhase, ShardPhase
from pipeline.errors import Stopped, StoreError
from pipeline.files.faults import point
from pipeline.files.objects import Store, sha256_of
from pipeline.files.secrets import masked_trace
from pipeline.results.binding import BaseShard, Binding, Link
from pipeline.results.receipts import Receipt, commit, data_name, finished_receipt, read_receipt
from pipeline.results.takes import Name, other_names, row_names, rows_taken, shard_taken, takes_rows
from pipeline.worker import opened
from pipeline.worker.context import Receipts, TaskContext
from pipeline.worker.groups import GroupCutter
from pipeline.worker.pieces import Pieces, RowCutter, cut_into_batches, rows_digest
from pipeline.worker.row_function import Scorer, rest
from pipeline.worker.sidecar import SideCar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class PassPhase:
    """One phase in a pass. `after`: base -> index of the phase whose rows it takes over; None: it reads side-cars."""

    binding: Binding
    phase: str
    after: Mapping[str, int | None]
    chain: Mapping[str, tuple[Link, ...]]  # base -> links before this phase, finished or written in this pass

    def spec(self) -> RowPhase | ShardPhase:
        phase = next(p for p in self.binding.place.node.phases() if p.name == self.phase)
        assert isinstance(phase, RowPhase | ShardPhase)
        return phase


class PhaseRun:
    """One phase at work on one shard."""

    def __init__(
        self, store: Store, pass_phase: PassPhase, phase: RowPhase | ShardPhase, base: BaseShard,
        written: Callable[[], Mapping[tuple[str, str], Receipt]], receipts: Receipts,
        known_scores: tuple[str, str, str] | None,
    ) -> None:  # fmt: skip
        """`written` returns the receipts of the phases before this one in this pass, by (folder, phase).

        `receipts` are those that other phases, and shards before this one, have read: they mostly read the same ones.
        `known_scores` names a side-car to copy values from.
        """
        self.receipts, self.known_scores = receipts, known_scores
        self.store, self.pass_phase, self.base = store, pass_phase, base
        self.phase, self.written = phase, written
        self.context = TaskContext(
            pass_phase.binding.only(base), pass_phase.phase, base.shard.name, base.shard, receipts=receipts
        )
        self.error: tuple[BaseException, str] | None = None
        self.stopped = False
        self.writer: Any = None  # a `ShardWriter` or a `PieceWriter`
        self.side_car: SideCar | None = None
        self._pieces: Pieces | None = None
        self._number = 0  # of the next piece
        self.guarded(self._begin)

    def _begin(self) -> None:
        self._together = self.phase.together
        size = self.phase.commit_rows or self.phase.batch_rows
        self._units = RowCutter(size) if self._together is None else GroupCutter(self._together, size or 1)
        if self.phase.commit_rows is not None:
            place = self.pass_phase.binding.place
            self._pieces = Pieces(self.store, place.folder, self.phase.name, self.base.shard.name)
        if isinstance(self.phase, ShardPhase):
            self._load()
            self.writer = self.phase.open(self.context)
            return
        path = _known_scores(self.store, *self.known_scores) if self.known_scores else None
        scorer = Scorer(self.context.node, self.phase, self.base.shard, self._open_rows, path)
        self.side_car = SideCar(scorer, self.base.shard)
        if self._pieces is not None:
            scorer.open()  # what it reads decides which pieces are its own

    def _load(self) -> None:
        if self.phase.load is not None:
            self.context.loaded, reads = opened.load(self.pass_phase.binding, self.phase)
            self.context.reads |= reads

    def _open_rows(self) -> Any:
        assert isinstance(self.phase, RowPhase)
        if not self.phase.per_shard:
            return opened.open_once(self.pass_phase.binding, self.phase)
        self._load()
        return self.phase.open(self.context)

    def guarded(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns. An error that it raises is noted for this shard and phase, and other phases go
        on.
        """
        try:
            return work()
        except Stopped:
            self.stopped = True
        except Exception as error:
            self.error = (error, masked_trace())
        return None

    # rows ------------------------------------------------------------------------------------------------------------

    def take(self, table: pa.Table) -> list[pa.Table]:
        """Take one batch of rows that are alive before this phase; return those that stay, as far as known."""
        if self.error is not None or self.stopped:
            return []
        return self.guarded(lambda: list(self._take(table))) or []

    def end(self) -> list[pa.Table]:
        """Finish: no more rows come. Return the rows that stay of those that were still waiting."""
        if self.error is not None or self.stopped:
            return []
        return self.guarded(lambda: [rows for unit in self._units.end() for rows in self._unit(unit)]) or []

    def _take(self, table: pa.Table) -> Iterator[pa.Table]:
        for unit in self._units.add(table):
            yield from self._unit(unit)

    def _needs(self) -> list[str]:
        return list(dict.fromkeys(self.phase.needs)) or ["_row"]

    def _unit(self, table: pa.Table) -> Iterator[pa.Table]:
        """Work on rows that belong together (a batch, or a piece); yield those that stay."""
        if self.side_car is not None:
            record = self._kept(table, self._scored)
            self.side_car.add(table, record, self._needs())
            yield rest(table, record, self.side_car.scorer.types)
        elif hasattr(self.writer, "work"):
            self.writer.add(table.select(self._needs()), self._kept(table, self._worked))
        else:
            self.writer.add(table.select(self._needs()))

    def _kept(self, table: pa.Table, work: Callable[[pa.Table], pa.Table]) -> pa.Table:
        """Return what `work` returns of a unit. Where its piece is stored already, return that; else store it."""
        if self._pieces is None or len(table) < (self.phase.commit_rows or 0):
            return work(table)
        rows = rows_digest(table.select(list(dict.fromkeys(["_row", *self._needs()]))), self._other_reads())
        record = self._pieces.load(self._number, rows)
        if record is None:
            record = work(table)
            self._pieces.save(self._number, rows, record)
            point(self.pass_phase.binding.place.folder, "after-piece")
            if self.context.stopping():
                raise Stopped(signal.SIGTERM)
        self._number += 1
        return record

    def _batches(self, table: pa.Table) -> Iterable[pa.Table]:
        if self._together is not None:
            return (table,)
        return cut_into_batches(table, self.phase.batch_rows, self.phase.batch_tokens)

    def _scored(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        assert self.side_car is not None
        scorer, needs = self.side_car.scorer, self._needs()
        return pa.concat_tables([scorer.schema.empty_table(), *(scorer.score(b, needs) for b in self._batches(table))])

    def _worked(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        batches = list(self._batches(table.select(self._needs()))) or [table.select(self._needs())]
        return pa.concat_tables([self.writer.work(batch) for batch in batches])

    # the end ---------------------------------------------------------------------------------------------------------

    def finish(self) -> Receipt:
        """Write this phase's files and receipt."""
        if self.writer is not None:
            result = self.writer.finish()
        else:
            assert self.side_car is not None
            with self.context.create(".parquet") as path:
                result = self.side_car.write(path)
        self.context.require_unchanged_sources()
        place, chain = self.pass_phase.binding.place, self.pass_phase.chain[self.base.shard.base]
        reads = {**self._other_reads(), **self._digests(row_names(self.base, chain, self.phase.needs))}
        receipt = commit(
            self.store, place.folder, self.pass_phase.phase, self.base.shard.name, self.context.outputs,
            [[*name, digest] for name, digest in reads.items()], result, place.node.deterministic,
            self._takes(chain, reads), self.side_car.digests if self.side_car is not None else None,
        )  # fmt: skip
        if self._pieces is not None:
            self._pieces.remove()
        return receipt

    def _takes(self, chain: Sequence[Link], reads: Collection[Name]) -> list[str | None]:
        """Return the `takes` of the receipt; a writer that has read what it did not declare takes more than that."""
        if not isinstance(self.phase, RowPhase) and not takes_rows(self.phase, self.context.node):
            return []
        rows = row_names(self.base, chain, self.phase.needs)
        others = other_names(self.context.binding, self.phase)
        read = {name: self._receipt(*name) for name in (*rows, *others)}
        declared = takes_rows(self.phase, self.context.node) and len(reads) == len(read)
        return [
            shard_taken(self.base, read[rows[0]]),
            rows_taken(self.base, chain, self.phase.needs, others, read) if declared else None,
        ]

    def _other_reads(self) -> dict[Name, str]:
        """Return the digests of what this phase has read beside its rows.

        What it opened itself for this shard (a model, a mask) stands in its context. A row function that is opened once
        per worker, or never because every score was known, is taken to have read all of its other inputs; a phase of
        which other shards may be linked, all that they may have read.
        """
        once = isinstance(self.phase, RowPhase) and not self.phase.per_shard
        reads = {} if once else self.context.reads
        if once or takes_rows(self.phase, self.context.node):
            return {**reads, **self._digests(other_names(self.context.binding, self.phase))}
        return reads

    def _digests(self, names: Iterable[Name]) -> dict[Name, str]:
        return {(name[0].removeprefix("nodes/"), *name[1:]): self._receipt(*name).digest for name in names}

    def _receipt(self, folder: str, phase: str, key: str) -> Receipt:
        """Return the receipt of what this phase has read: written in this pass, or before it."""
        written = self.written().get((folder, phase)) if key == self.base.shard.name else None
        return written or known_receipt(self.store, self.receipts, folder, phase, key)


def known_receipt(store: Store, receipts: Receipts, folder: str, phase: str, key: str) -> Receipt:
    """Return a receipt from `receipts`, after reading it into them where it is not there yet."""
    name = (folder, phase, key)
    if name not in receipts:
        receipts[name] = finished_receipt(store, *name)
    return receipts[name]


def _known_scores(store: Store, folder: str, phase: str, shard: str) -> Path | None:
    """Return the finished side-car whose values may be copied, if it is there and is what its receipt says."""
    file = f"{shard}.parquet"
    try:
        receipt = read_receipt(store, folder, phase, shard)
        if receipt is None:
            return None
        digest = receipt.files[file]["sha256"]
        path = store.local(data_name(folder, phase, file), digest)
        return path if sha256_of(path) == digest else None
    except (FileNotFoundError, StoreError):  # of another run, perhaps; this one can do without
        return None
