"""One base shard through the phases of a pass, or through the part of them that one operator holds.

The worker reads the needed columns of a shard once, batch by batch, and hands the rows still alive to each phase in
order; then it writes each phase's files and receipt, first phase first. What a receipt says it read is what the phase
depends on (its base shard, the nearest state, the side-cars of its columns), whether those were read from files or
handed over inside the pass, so a pass that is cut elsewhere writes the same receipts.

Where the phases of a pass ask for different resources, each part runs in a worker of its own. The first part reads the
shard and hands a `Parcel` on: the rows that later phases take over, and what the phases before them have written.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pipeline.contract import RowPhase
from pipeline.files.address import Address
from pipeline.files.objects import Store
from pipeline.files.open_store import open_store
from pipeline.files.secrets import masked_error, masked_trace
from pipeline.results.binding import BaseShard
from pipeline.results.receipts import Receipt, read_receipt
from pipeline.results.rows import ShardView
from pipeline.worker.context import Receipts
from pipeline.worker.phase_run import PassPhase, PhaseRun, known_receipt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Outcome", "Parcel", "PassPhase", "ShardWork", "run_part", "run_shard", "try_part"]


@dataclass(frozen=True)
class ShardWork:
    """The phases due for one shard, and what the driver knows of them.

    due     indices into the pass's phases
    scores  index -> (folder, phase, shard) of a finished side-car whose values may be copied
    tried   whether a worker may have died over this shard; then receipts that it left are looked for
    """

    base: BaseShard
    due: tuple[int, ...]
    scores: Mapping[int, tuple[str, str, str]] = field(default_factory=dict)
    tried: bool = False


@dataclass(frozen=True)
class Outcome:
    """The receipt of one phase over one shard, or its error; neither where it was stopped or one before it failed."""

    index: int  # of the phase in the pass
    shard: str
    receipt: Receipt | None = None
    error: BaseException | None = None
    trace: str = ""
    memory: int = 0  # peak of the worker process so far, bytes


@dataclass
class Parcel:
    """One shard between two parts of a pass.

    outcomes  of the phases so far
    sources   phase -> source of its rows: the index of the phase that hands them over, or `-1 - i` for rows as they
              are in the store, i the first phase that starts from them
    rows      source -> alive rows of the shard, for the phases that have not run yet
    """

    work: ShardWork
    outcomes: list[Outcome] = field(default_factory=list)
    sources: dict[int, int] | None = None  # before the first part
    rows: dict[int, pa.Table] = field(default_factory=dict)


def run_shard(
    store: Address, phases: Sequence[PassPhase], work: ShardWork, receipts: Receipts | None = None
) -> list[Outcome]:
    """Run the due phases over one shard and commit them in order. A phase that fails stops those behind it, no others.

    `receipts` are those that shards before this one have read, as in `TaskContext`.
    """
    return run_part(store, phases, range(len(phases)), Parcel(work), receipts).outcomes


def run_part(
    store: Address, phases: Sequence[PassPhase], part: range, parcel: Parcel, receipts: Receipts | None = None
) -> Parcel:
    """Run those due phases that have their index in `part`; return the parcel for the phases behind them."""
    return _Part(open_store(store), phases, part, parcel, receipts).run()


def try_part(
    store: Address, phases: Sequence[PassPhase], part: range, parcel: Parcel, receipts: Receipts | None = None
) -> Parcel:
    """Do what `run_part` does. Where the shard cannot be read, every phase due for it has failed."""
    try:
        return run_part(store, phases, part, parcel, receipts)
    except Exception as error:
        known = {outcome.index for outcome in parcel.outcomes}
        shard, error, trace = parcel.work.base.shard.name, masked_error(error), masked_trace()
        failed = [Outcome(i, shard, error=error, trace=trace) for i in parcel.work.due if i not in known]
        return Parcel(parcel.work, [*parcel.outcomes, *failed], parcel.sources or {})


class _Part:
    """Some phases of a pass at work on one shard."""

    def __init__(
        self, store: Store, phases: Sequence[PassPhase], part: range, parcel: Parcel, receipts: Receipts | None
    ) -> None:
        self.store, self.phases, self.part, self.parcel = store, phases, part, parcel
        self.base, self.outcomes = parcel.work.base, list(parcel.outcomes)
        self.first = parcel.sources is None
        if self.first and parcel.work.tried:
            self.outcomes += self._done_before()
        finished = {outcome.index for outcome in self.outcomes}
        self.due = [index for index in parcel.work.due if index not in finished]
        self.specs = [phase.spec() for phase in phases]
        self.sources = parcel.sources if parcel.sources is not None else self._sources()
        self.wanted = self._wanted()
        self.written = {o.index: o.receipt for o in self.outcomes if o.receipt is not None}
        self.receipts: Receipts = {} if receipts is None else receipts
        self.runs = {
            index: PhaseRun(
                store,
                phases[index],
                self.specs[index],
                self.base,
                lambda index=index: self._written_before(index),
                self.receipts,
                parcel.work.scores.get(index),
            )
            for index in self.due
            if index in part
        }
        self.kept: dict[int, list[pa.Table]] = {
            self.sources[index]: [] for index in self.due if index >= part.stop
        }  # source -> rows for the parts behind this one

    def run(self) -> Parcel:
        try:
            if self.first:
                for source in dict.fromkeys(source for source in self.sources.values() if source < 0):
                    self._read(source)
            else:
                for source, table in self.parcel.rows.items():
                    self._feed(source, table)
            self._end()
            for index, run in self.runs.items():
                self._commit(index, run)
        finally:
            for run in self.runs.values():
                run.context.discard()
        return Parcel(self.parcel.work, self.outcomes, self.sources, self._rows_to_hand_on())

    # which rows ------------------------------------------------------------------------------------------------------

    def _done_before(self) -> list[Outcome]:
        """Return the receipts that an earlier try of this shard committed before its worker died."""
        found, shard = [], self.base.shard.name
        for index in self.parcel.work.due:
            phase = self.phases[index]
            receipt = read_receipt(self.store, phase.binding.place.folder, phase.phase, shard)
            if receipt is not None:
                found.append(Outcome(index, shard, receipt))
        return found

    def _after(self, index: int) -> int | None:
        return self.phases[index].after[self.base.shard.base]

    def _sources(self) -> dict[int, int]:
        """Return the source of each due phase's rows; see `Parcel`."""
        starts: dict[tuple[str, ...], int] = {}
        found = {}
        for index in self.due:
            after = self._after(index)
            if after is not None and after in self.due:
                found[index] = after
            else:
                chain = self.phases[index].chain[self.base.shard.base]
                found[index] = starts.setdefault(tuple(link.folder for link in chain), -1 - index)
        return found

    def _wanted(self) -> dict[int, set[str]]:
        """Return the columns that each phase and those behind it need from the rows that it is given."""
        wanted: dict[int, set[str]] = {}
        for index in reversed(self.due):
            behind = (wanted[child] for child in self.due if self.sources[child] == index)
            spec, node = self.specs[index], self.phases[index].binding.place.node
            made = set(node.adds()) if isinstance(spec, RowPhase) else set()
            wanted[index] = set(spec.needs).union(*behind) - made
        return wanted

    def _columns(self, indices: Iterable[int]) -> list[str]:
        return sorted({"_row"}.union(*(self.wanted[index] for index in indices)))

    def _read(self, source: int) -> None:
        """Feed every batch of the shard to the phases that start from the same finished side-cars."""
        import pyarrow as pa

        fed = [index for index in self.due if self.sources[index] == source]
        receipt_of = partial(known_receipt, self.store, self.receipts)
        view = ShardView(self.store, self.base, self.phases[fed[0]].chain[self.base.shard.base], receipt_of)
        for _, mask, table in view.batches(self._columns(fed)):
            self._feed(source, table if mask.all() else table.filter(pa.array(mask)))

    def _feed(self, source: int, table: pa.Table) -> None:
        """Hand rows to the phases that take them over, in this part or behind it."""
        if source in self.kept:
            behind = [i for i in self.due if i >= self.part.stop and self.sources[i] == source]
            self.kept[source].append(table.select(self._columns(behind)))
        for index, run in self.runs.items():
            if self.sources[index] == source:
                for stays in run.take(table):
                    self._feed(index, stays)

    def _end(self) -> None:
        # phases are in order, so what one still hands over is looked at by those behind it before they end themselves
        for index, run in self.runs.items():
            for stays in run.end():
                self._feed(index, stays)

    # what came of it -------------------------------------------------------------------------------------------------

    def _failed(self, index: int) -> bool:
        """Return whether a phase, or one before it in this pass, has no receipt."""
        run, source = self.runs.get(index), self.sources.get(index, -1)
        if index in self.written:
            return False
        if run is not None and (run.error is not None or run.stopped):
            return True
        return index not in self.runs or (source >= 0 and self._failed(source))

    def _commit(self, index: int, run: PhaseRun) -> None:
        shard = self.base.shard.name
        if not self._failed(index):
            receipt = run.guarded(run.finish)
            if receipt is not None:
                self.written[index] = receipt
        if run.error is not None:
            self.outcomes.append(Outcome(index, shard, error=masked_error(run.error[0]), trace=run.error[1]))
        else:
            self.outcomes.append(Outcome(index, shard, self.written.get(index), memory=peak_memory()))

    def _written_before(self, index: int) -> dict[tuple[str, str], Receipt]:
        """Return the receipts of the phases before this one in this pass, by folder and phase."""
        found, after = {}, self._after(index)
        while after is not None and after in self.written:
            phase = self.phases[after]
            found[phase.binding.place.folder, phase.phase] = self.written[after]
            after = self._after(after)
        return found

    def _rows_to_hand_on(self) -> dict[int, pa.Table]:
        """Return the rows for the parts behind, without those of phases that have no receipt."""
        import pyarrow as pa

        return {
            source: pa.concat_tables(tables).combine_chunks()
            for source, tables in self.kept.items()
            if tables and (source < 0 or source in self.written)
        }


def peak_memory() -> int:
    """Return the largest resident set of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
