"""Row A-15: columns beside the text against writing the remaining rows anew at every stage.

The same six row functions over the same shards, in this process, without Ray: as six passes that each write the rows
that stay (with all their columns), and as six passes of the engine that each write a side-car. The first node removes a
share of the rows, the others one percent each. `compact` writes the rows once after the first node and goes on with
columns. Passes are kept apart because that is the engine's worst case; it would run these six in one (`fused`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.engine.nodes import Made, Measure, chain
from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.commit import finish
from pipeline.driver.fanout import pass_work
from pipeline.graph import build
from pipeline.store.lease import Leases
from pipeline.store.ledger import Ledger
from pipeline.store.objects import LocalStore
from pipeline.worker.passes import run_shard
from pipeline.worker.tasks import run_task
from stages.compact import Compact

LATER = [0.01] * 5


@dataclass(frozen=True)
class Cost:
    """What one way of doing it took."""

    cpu: float  # seconds
    written: int  # bytes
    rows: int  # that stayed: every way must agree


def timed(work: Callable[[], tuple[int, int]]) -> Cost:
    began = time.process_time()
    written, rows = work()
    return Cost(time.process_time() - began, written, rows)


# rewriting -----------------------------------------------------------------------------------------------------------


def rewrite(source: Sequence[Path], functions: Sequence[Measure], folder: Path) -> tuple[int, int]:
    """Each stage reads what the one before it wrote, row group by row group, and writes the rows that stay."""
    written = rows = 0
    paths = list(source)
    for number, node in enumerate(functions):
        done = []
        for path in paths:
            target = folder / f"{number}-{path.name}"
            rows = _rewrite_one(path, node, target) + (rows if done else 0)
            written += target.stat().st_size
            done.append(target)
        paths = done
    return written, rows


def _rewrite_one(path: Path, node: Measure, target: Path) -> int:
    """One stage over one shard; how many rows stayed."""
    rows, writer = 0, None
    with pq.ParquetFile(path, memory_map=True) as file:
        start = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            if "_row" not in table.column_names:  # the rule is a function of the row's number in its shard
                table = table.append_column("_row", pa.array(range(start, start + len(table)), pa.int64()))
                start += len(table)
            found = node.measure(table)
            table = table.append_column(node.column, found.added[node.column]).filter(found.removed.reason.is_null())
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd", write_statistics=False)
            writer.write_table(table)
            rows += len(table)
    writer.close()
    return rows


# columns -------------------------------------------------------------------------------------------------------------


class Columns:
    """The engine's own code, run here one after the other."""

    def __init__(self, root: Path, target: Node) -> None:
        self.store = LocalStore(str(root))
        self.graph = build([target])
        self.state = Ledger(self.graph, self.store)
        self.leases = Leases(self.store)

    def lay_down(self, base: Node) -> None:
        (phase,) = base.phases()
        assert isinstance(phase, TaskPhase)
        binding = self.state.binding(base, {}, "", 1)
        keys = list(phase.keys(None))  # type: ignore[arg-type]
        for key in keys:
            run_task(binding, phase.name, key)
        self._finish(base, {phase.name: keys})

    def run(self, nodes: Sequence[Node]) -> int:
        """One pass of these nodes over all shards; bytes written."""
        joined = [(node, node.phases()[0]) for node in nodes]
        assert all(isinstance(phase, RowPhase | ShardPhase) for _, phase in joined)
        phases, works = pass_work(self.state, joined, lambda node: self.state.binding(node, {}, "", 1))
        written = 0
        for work in works:
            for outcome in run_shard(self.store.root, phases, work):
                if outcome.error is not None:
                    raise outcome.error
                written += sum(entry["size"] for entry in outcome.receipt.files.values())
                self.state.note_done(joined[outcome.index][0], joined[outcome.index][1].name, outcome.shard)
        for node, phase in joined:
            self._finish(node, {phase.name: [base.shard.name for base in self.state.input_shards(node)]})
        return written

    def _finish(self, node: Node, keys: dict[str, list[str]]) -> None:
        self.leases.acquire(self.state.folder(node))
        finish(self.state, node, keys, self.leases, "")
        self.leases.release(self.state.folder(node))

    def kept(self, node: Node) -> int:
        return sum(counts.get("alive_out", 0) for counts in self.state.manifest(node)["counts"].values())


def separate(engine: Columns, nodes: Sequence[Node]) -> tuple[int, int]:
    written = sum(engine.run([node]) for node in nodes)
    return written, engine.kept(nodes[-1])


def fused(engine: Columns, nodes: Sequence[Node]) -> tuple[int, int]:
    return engine.run(nodes), engine.kept(nodes[-1])


# the measurement -----------------------------------------------------------------------------------------------------


def measure(folder: Path, megabytes: int) -> list[dict]:
    base = Made(shards=max(1, megabytes // 25), rows=7000, words=700)
    first = Columns(folder / "store", base)
    first.lay_down(base)
    source = sorted((folder / "store" / first.state.folder(base) / "data").rglob("*.parquet"))
    records = []
    for removed in (0.1, 0.5, 0.9):
        records += _records(removed, _costs(folder, base, source, removed))
    return records


def _costs(folder: Path, base: Made, source: Sequence[Path], removed: float) -> dict[str, Cost]:
    nodes = chain(base, [removed, *LATER])
    compact = Compact(docs=nodes[0])
    behind: list[Node] = [nodes[0], compact]
    for number, share in enumerate(LATER, start=1):
        behind.append(Measure(docs=behind[-1], column=f"chars_{number}", removes=share))
    costs = {
        "rewriting": timed(lambda: rewrite(source, nodes, _fresh(folder / "rewriting"))),
        "columns": timed(lambda: separate(_engine(folder, nodes[-1]), nodes)),
        "fused": timed(lambda: fused(_engine(folder, nodes[-1]), nodes)),
        "compact": timed(lambda: separate(_engine(folder, behind[-1]), behind)),
    }
    # (A compacted row has another number in its shard, and so another hash.)
    assert costs["rewriting"].rows == costs["columns"].rows == costs["fused"].rows
    return costs


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _engine(folder: Path, target: Node) -> Columns:
    """The engine over a store that holds the base and nothing else."""
    for path in (folder / "store" / "nodes").iterdir():
        if not path.name.startswith("made-"):
            shutil.rmtree(path)
    return Columns(folder / "store", target)


def _records(removed: float, costs: dict[str, Cost]) -> list[dict]:
    records = []
    whole = costs["rewriting"]
    for way, cost in costs.items():
        place = f"{removed:.0%} removed early, {way}"
        records += [_record(f"CPU, {place}", round(cost.cpu, 2), "s"),
                    _record(f"written, {place}", round(cost.written / 1e6, 2), "MB")]  # fmt: skip
        if way == "rewriting":
            continue
        must = way == "columns" and removed <= 0.5
        for what, ratio in (("CPU", cost.cpu / whole.cpu), ("written", cost.written / whole.written)):
            records.append(
                _record(f"{what} over rewriting, {place}", round(ratio, 3), "1", ratio < 1 if must else None)
            )
    return records


def _record(what: str, value: float, unit: str, holds: bool | None = None) -> dict:
    must = None if holds is None else "< 1"
    return {"row": "A-15", "what": what, "value": value, "unit": unit, "must": must, "holds": holds}
