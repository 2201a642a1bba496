"""One base shard through every phase of a pass.

The worker reads the needed columns of a shard once, batch by batch, and hands the rows still alive to each phase in
order; then it writes each phase's files and receipt, first phase first. What a receipt says it read is what the phase
depends on (its base shard, the nearest state, the side-cars of its columns), whether those were read from files or
handed over inside the pass, so a pass that is cut elsewhere writes the same receipts.
"""

from __future__ import annotations

import pickle
import resource
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contract import RowNode, RowPhase, ShardPhase, ShardWriter
from pipeline.store.binding import BaseShard, Binding, Link
from pipeline.store.objects import Store, open_store
from pipeline.store.receipts import Receipt, commit, data_name, read_receipt
from pipeline.store.rows import ShardView
from pipeline.worker.context import Receipts, TaskContext
from pipeline.worker.sidecar import SideCar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Step:
    """One phase in a pass. `after`: base -> the step whose rows it takes over, None: it starts from side-cars."""

    binding: Binding
    phase: str
    after: Mapping[str, int | None]
    chain: Mapping[str, tuple[Link, ...]]  # base -> links before this phase, finished or made in this pass
    scores: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)  # shard -> (folder, phase, shard) to copy

    def spec(self) -> RowPhase | ShardPhase:
        phase = next(p for p in self.binding.place.node.phases() if p.name == self.phase)
        assert isinstance(phase, RowPhase | ShardPhase)
        return phase


@dataclass(frozen=True)
class ShardWork:
    """The steps due for one shard; `due` are indices into the pass's steps."""

    base: BaseShard
    due: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What one step made of one shard: a receipt, or what went wrong."""

    step: int
    shard: str
    receipt: Receipt | None = None
    error: BaseException | None = None
    trace: str = ""
    memory: int = 0  # peak of the worker process so far, bytes


_opened: dict[tuple[str, str, str], Any] = {}  # row functions of this worker process: (fingerprint, phase, store)


def run_shard(
    store_root: str, steps: Sequence[Step], work: ShardWork, receipts: Receipts | None = None
) -> list[Outcome]:
    """Run the due steps over one shard and commit them in order. A step that fails stops those behind it, no others.

    `receipts` are those that shards before this one have read, as in `TaskContext`.
    """
    store = open_store(store_root)
    runs: dict[int, _Run] = {}
    digests: dict[tuple[str, str, str], str] = {}
    done = _done_before(store, steps, work)
    for index in (i for i in work.due if i not in done):
        step = steps[index]
        after = step.after[work.base.shard.base]
        parent = runs.get(after) if after is not None else None
        runs[index] = _Run(store, step, work.base, parent, digests, receipts)
    try:
        starts: dict[tuple, list[_Run]] = {}
        for run in runs.values():
            if run.parent is None:
                starts.setdefault(run.start_key(), []).append(run)
        for group in starts.values():
            _stream_group(store, work.base, group)
        return [*done.values(), *(run.outcome(index) for index, run in runs.items())]
    finally:
        for run in runs.values():
            run.context.discard()


def _done_before(store: Store, steps: Sequence[Step], work: ShardWork) -> dict[int, Outcome]:
    """Steps that were committed by an earlier try of this task, whose worker died later on."""
    found = {}
    for index in work.due:
        folder, shard = steps[index].binding.place.folder, work.base.shard.name
        receipt = read_receipt(store, folder, steps[index].phase, shard)
        if receipt is not None:
            found[index] = Outcome(index, shard, receipt)
    return found


def _stream_group(store: Store, base: BaseShard, group: Sequence[_Run]) -> None:
    """Feed every batch of the shard to the runs that start from the same finished side-cars."""
    import pyarrow as pa

    columns = sorted({name for run in group for name in run.wanted()} | {"id"})
    view = ShardView(store, base, group[0].step.chain[base.shard.base])
    for _, mask, table in view.batches([*columns, *([] if "_row" in columns else ["_row"])]):
        alive = table if mask.all() else table.filter(pa.array(mask))
        for run in group:
            run.take(alive)


class _Run:
    """One step at work on one shard."""

    def __init__(
        self, store: Store, step: Step, base: BaseShard, parent: _Run | None, digests: dict[tuple[str, str, str], str],
        receipts: Receipts | None,
    ) -> None:  # fmt: skip
        self.store, self.step, self.base, self.parent = store, step, base, parent
        self.digests = digests  # of receipts that this shard's steps have read; they mostly read the same ones
        self.phase = step.spec()
        self.context = TaskContext(step.binding, step.phase, base.shard.name, base.shard, receipts=receipts)
        self.children: list[_Run] = []
        if parent is not None:
            parent.children.append(self)
        self.receipt: Receipt | None = None
        self.error: tuple[BaseException, str] | None = None
        self.side_car: SideCar | None = None
        self.writer: ShardWriter | None = None
        if isinstance(self.phase, ShardPhase):
            self._guarded(lambda: setattr(self, "writer", self.phase.open(self.context)))
        else:
            known = step.scores.get(base.shard.name)
            self.side_car = SideCar(
                self.context, base.shard, self._open_rows, _known_scores(store, *known) if known else None
            )

    def _open_rows(self):
        assert isinstance(self.phase, RowPhase)
        if self.phase.per_shard:
            return self.phase.open(self.context)
        key = (self.step.binding.place.fingerprint, self.phase.name, self.step.binding.store)
        if key not in _opened:
            if len(_opened) >= 32:
                _opened.clear()
            _opened[key] = self.phase.open(self.context)
        return _opened[key]

    def start_key(self) -> tuple:
        return tuple(link.place.fingerprint for link in self.step.chain[self.base.shard.base])

    def wanted(self) -> set[str]:
        """Columns this run and those behind it need from files."""
        names = set(self.phase.needs)
        for child in self.children:
            names |= child.wanted()
        return names - set(self.step.binding.place.node.adds() if self.side_car else ())

    def failed(self) -> bool:
        return self.error is not None or (self.parent is not None and self.parent.failed())

    def _guarded(self, work: Callable[[], Any]) -> None:
        # Whatever a stage raises belongs to this shard and this step; it is reported there, and the rest goes on.
        try:
            work()
        except Exception as error:
            self.error = (error, traceback.format_exc())

    def take(self, table: pa.Table) -> None:
        """One batch of rows that are alive before this step; what stays goes on to the children."""
        if self.error is None:
            self._guarded(lambda: self._take(table))

    def outcome(self, index: int) -> Outcome:
        """Commit, unless this step or one before it has failed."""
        shard = self.base.shard.name
        if not self.failed():
            self._guarded(lambda: setattr(self, "receipt", self.finish()))
        if self.error is not None:
            return Outcome(index, shard, error=portable(self.error[0]), trace=self.error[1])
        return Outcome(index, shard, self.receipt, memory=peak_memory())

    def _take(self, table: pa.Table) -> None:
        needs = list(dict.fromkeys(self.phase.needs)) or ["_row"]
        if self.writer is not None:
            self.writer.add(table.select(needs))
            return
        assert self.side_car is not None
        rest = self.side_car.take(table, needs)
        for child in self.children:
            child.take(rest)

    def finish(self) -> Receipt:
        """Write this step's files and receipt."""
        shard = self.base.shard
        values: dict[str, str] = {}
        if self.writer is not None:
            result = self.writer.finish()
        else:
            assert self.side_car is not None
            with self.context.create(".parquet") as path:
                result, values[f"{shard.name}.parquet"] = self.side_car.write(path)
        self.context.require_unchanged_sources()
        # What a writer opened itself (a model, a mask) stands in its context. A row function that is opened once per
        # worker, or never because every score was known, is taken to have read all of its other inputs.
        once = isinstance(self.phase, RowPhase) and not self.phase.per_shard
        reads = {**(self._input_reads() if once else self.context.reads), **self._row_reads()}
        place = self.step.binding.place
        self.receipt = commit(
            self.store, place.folder, self.step.phase, shard.name, self.context.outputs,
            [[*name, digest] for name, digest in reads.items()], result, values,
        )  # fmt: skip
        return self.receipt

    def _input_reads(self) -> dict[tuple[str, str, str], str]:
        binding = self.step.binding
        others = [i for name, inputs in binding.inputs.items() if name != binding.place.node.stream for i in inputs]
        names = [(binding.place, phase, key) for phase, keys in binding.phases.items() for key in keys]
        names += [(i.place, phase, key) for i in others for phase, keys in i.phases.items() for key in keys]
        return {
            (p.folder.removeprefix("nodes/"), phase, key): self._stored(p.folder, phase, key) for p, phase, key in names
        }

    def _row_reads(self) -> dict[tuple[str, str, str], str]:
        shard, chain = self.base.shard, self.step.chain[self.base.shard.base]
        needed = [link for link in chain if set(link.columns) & set(self.phase.needs)]
        if "text" in self.phase.needs:
            needed += [link for link in chain if link.changes_text]
        if chain:
            needed.append(chain[-1])
        names = {(link.place.folder, link.phase, shard.name) for link in needed}
        names.add((self.base.folder, self.base.phase, self.base.task))
        made = self._made()
        return {
            (folder.removeprefix("nodes/"), phase, key): made.get((folder, phase)) or self._stored(folder, phase, key)
            for folder, phase, key in sorted(names)
        }

    def _made(self) -> dict[tuple[str, str], str]:
        """Digests of what the steps before this one wrote in this pass."""
        if self.parent is None or self.parent.receipt is None:
            return {}
        place = self.parent.step.binding.place
        return self.parent._made() | {(place.folder, self.parent.step.phase): self.parent.receipt.digest}

    def _stored(self, folder: str, phase: str, key: str) -> str:
        name = (folder, phase, key)
        if name not in self.digests:
            receipt = read_receipt(self.store, *name)
            assert receipt is not None, f"{folder} {phase}/{key} has no receipt"
            self.digests[name] = receipt.digest
        return self.digests[name]


def _known_scores(store: Store, folder: str, phase: str, shard: str) -> Path | None:
    """The finished side-car whose values may be copied, if it is there."""
    if read_receipt(store, folder, phase, shard) is None:
        return None
    return store.local(data_name(folder, phase, f"{shard}.parquet"))


def peak_memory() -> int:
    """Largest resident set of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def portable(error: BaseException) -> BaseException:
    """The error itself when it can cross a process border, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def reusable(node: Any) -> bool:
    """Whether a node's columns and texts can be copied from an earlier side-car and only `decide` be run."""
    decides = isinstance(node, RowNode) and type(node).decide is not RowNode.decide
    return isinstance(node, RowNode) and (decides or not node.reasons)
