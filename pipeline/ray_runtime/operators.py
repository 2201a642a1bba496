"""What the operators of a pass do: a block of shards in, a block of parcels out.

The first operator is given groups of shard descriptors and reads the rows itself; only where a later operator needs
rows do they go through Ray, as one Arrow record per shard. The last operator hands on outcomes alone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from pipeline.contract import Resources
from pipeline.files.address import Address
from pipeline.files.open_store import open_store
from pipeline.files.secrets import masked_error, masked_trace
from pipeline.ray_runtime.tasks import shared
from pipeline.worker import opened
from pipeline.worker.context import Receipts
from pipeline.worker.passes import Outcome, Parcel, PassPhase, ShardWork, try_part

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Operator:
    """Neighbouring phases of a pass that one worker runs: those with their index in `part`."""

    name: str  # of the nodes, as the recipe calls them: `english+plain`
    part: range
    resources: Resources


def operators(phases: Sequence[PassPhase], names: Sequence[str]) -> list[Operator]:
    """Cut the phases of a pass where their resources differ. A phase that runs in actors is an operator by itself.

    A pass that would begin with such a phase begins with an operator that reads for it. `names` are the nodes' names.
    """
    wanted = [phase.spec().resources for phase in phases]
    found: list[Operator] = []
    start = 0
    for stop in range(1, len(phases) + 1):
        if stop < len(phases) and wanted[stop] == wanted[start] and not wanted[start].held:
            continue
        name = "+".join(dict.fromkeys(names[start:stop]))
        found.append(Operator(name, range(start, stop), wanted[start]))
        start = stop
    if found[0].resources.held:
        found.insert(0, Operator(f"read {found[0].name}", range(0), Resources()))
    return found


@dataclass(frozen=True)
class Assignment:
    """What an operator's workers are given once."""

    store: Address
    content: list[ray.ObjectRef]  # the phases of the pass
    part: range
    stop_name: str  # the object that appears when the driver is asked to stop

    def stopping(self) -> bool:
        return bool(self.stop_name) and open_store(self.store).size(self.stop_name) is not None


def first_operator(job: Assignment, name: str) -> Callable[[pa.Table], Iterator[pa.Table]]:
    """Return the function of an operator of tasks that reads shards. Ray shows it under `name`."""

    def operate(block: pa.Table) -> Iterator[pa.Table]:
        receipts: Receipts = {}
        for works in block["works"].to_pylist():
            for work in pickle.loads(works):
                if job.stopping():
                    return  # shards not begun stay due
                yield encode(try_part(job.store, shared(job.content), job.part, Parcel(work), receipts))

    operate.__name__ = operate.__qualname__ = name
    return operate


def later_operator(job: Assignment, name: str) -> Callable[[pa.Table], Iterator[pa.Table]]:
    """Return the function of an operator of tasks that is given parcels."""

    def operate(block: pa.Table) -> Iterator[pa.Table]:
        receipts: Receipts = {}
        for parcel in decode(block):
            if job.stopping():
                return
            yield encode(try_part(job.store, shared(job.content), job.part, parcel, receipts))

    operate.__name__ = operate.__qualname__ = name
    return operate


def held_operator(job: Assignment, name: str) -> type:
    """Return the class of an operator of actors: it opens what it needs before its first row."""

    class HeldOperator:
        def __init__(self) -> None:
            self.failed: Outcome | None = None
            phases: list[PassPhase] = shared(job.content)
            for index in job.part:
                try:
                    opened.prepare(phases[index].binding, phases[index].spec())
                except Exception as error:  # named once, by the driver; no row was lost
                    self.failed = Outcome(index, "load", error=masked_error(error), trace=masked_trace())

        def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
            receipts: Receipts = {}
            for parcel in decode(block):
                if job.stopping():
                    return
                if self.failed is not None:
                    yield encode(Parcel(parcel.work, [*parcel.outcomes, self.failed], parcel.sources))
                else:
                    yield encode(try_part(job.store, shared(job.content), job.part, parcel, receipts))

    HeldOperator.__name__ = HeldOperator.__qualname__ = name
    return HeldOperator


# between operators -------------------------------------------------------------------------------------------------


def encode(parcel: Parcel) -> pa.Table:
    """Return a parcel as one row: `parcel` (pickled, without its rows), and per source of rows its number and the rows
    as an Arrow stream. One row per shard, so that Ray cuts no shard in two.
    """
    import pyarrow as pa

    light = Parcel(parcel.work, parcel.outcomes, parcel.sources)
    return pa.table(
        {
            "parcel": pa.array([pickle.dumps(light)], pa.large_binary()),
            "sources": pa.array([list(parcel.rows)], pa.list_(pa.int64())),
            "rows": pa.ListArray.from_arrays([0, len(parcel.rows)], _streams(list(parcel.rows.values()))),
        }
    )


def decode(block: pa.Table) -> Iterator[Parcel]:
    """Yield the parcels of a block."""
    import pyarrow as pa

    for row in range(len(block)):
        parcel: Parcel = pickle.loads(block["parcel"][row].as_py())
        streams = block["rows"][row].values
        for number, source in enumerate(block["sources"][row].as_py()):
            parcel.rows[source] = pa.ipc.open_stream(streams[number].as_buffer()).read_all()
        yield parcel


def _streams(tables: Sequence[pa.Table]) -> pa.Array:
    """Return tables as Arrow streams, a large_binary each; the text of a shard is not turned into Python's bytes."""
    import pyarrow as pa

    kind, found = pa.large_binary(), [pa.array([], pa.large_binary())]
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        offsets = pa.array([0, data.size], pa.int64()).buffers()[1]
        found.append(pa.Array.from_buffers(kind, 1, [None, offsets, data]))
    return pa.concat_arrays(found)


def group_row(works: Sequence[ShardWork]) -> dict[str, bytes]:
    """Return a group of shards as a row of the first operator's input."""
    return {"works": pickle.dumps(list(works))}
