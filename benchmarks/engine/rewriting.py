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
from benchmarks.engine.records import record
from pipeline.contract import Node
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from stages.compact import Compact

LATER = [0.01] * 5
HERE = Options(here=True)
BASE = "nodes/made-*/data/**/*"


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


def separate(store: Path, nodes: Sequence[Node]) -> tuple[int, int]:
    """A run for every node."""
    for node in nodes[:-1]:
        run(build([node]), name="columns", store=str(store), options=HERE)
    return fused(store, nodes)


def fused(store: Path, nodes: Sequence[Node]) -> tuple[int, int]:
    """One run, and so one pass. Return the bytes that lie beside the base, and the rows that stay."""
    done = run(build(nodes[-1:]), name="columns", store=str(store), options=HERE)
    written = sum(path.stat().st_size for path in store.glob("nodes/*/data/**/*") if path.is_file())
    base = sum(path.stat().st_size for path in store.glob(BASE) if path.is_file())
    return written - base, done[nodes[-1]].counts["rows"]["alive_out"]


# the measurement -----------------------------------------------------------------------------------------------------


def measure(folder: Path, shards: int, rows: int = 7000) -> list[dict]:
    """Of shards of so many documents of 700 words each: 25 MB a shard of 7000."""
    base = Made(shards=shards, rows=rows, words=700)
    run(build([base]), name="base", store=str(folder / "store"), options=HERE)
    source = sorted((folder / "store").glob(f"{BASE}.parquet"))
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
        "columns": timed(lambda: separate(_emptied(folder), nodes)),
        "fused": timed(lambda: fused(_emptied(folder), nodes)),
        "compact": timed(lambda: separate(_emptied(folder), behind)),
    }
    # (A compacted row has another number in its shard, and so another hash.)
    assert costs["rewriting"].rows == costs["columns"].rows == costs["fused"].rows
    return costs


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _emptied(folder: Path) -> Path:
    """The store with the base and nothing else."""
    for path in (folder / "store" / "nodes").iterdir():
        if not path.name.startswith("made-"):
            shutil.rmtree(path)
    return folder / "store"


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
    return record("A-15", what, value, unit) | {"must": must, "holds": holds}
