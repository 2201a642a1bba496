"""Row A-12: CPU of the engine per shard and node, over the bare functions.

Many shards of one row through one pass of five nodes is the worst case: everything that is not the row function is the
engine's (and Ray's). Counted is the CPU of the driver, of Ray's own processes and of the workers, from the end of
`ray.init` to the last manifest; starting the workers is in it.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.engine.nodes import NODES, Made, chain, documents
from benchmarks.engine.records import record
from benchmarks.engine.tree_cpu import TreeCpu
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from pipeline.ray_runtime import session

MUST_MS = 5.0  # per shard and node


def bare(shards: int) -> float:
    """CPU seconds of the five functions over the same rows, one row at a time."""
    functions = [node.measure for node in chain(Made(shards=1, rows=1, words=50), [0.0] * NODES)]
    tables = [documents(1, 50, number).append_column("_row", [[0]]) for number in range(shards)]
    began = time.process_time()
    for table in tables:
        for function in functions:
            function(table)
    return time.process_time() - began


def measure(folder: Path, shards: int, cpus: int, row: str = "A-12") -> list[dict]:
    """One-row shards through one pass of five nodes, their base laid down before."""
    base = Made(shards=shards, rows=1, words=50)
    session.start(cpus, None)
    store = str(folder / f"overhead-{shards}")
    run(build([base]), name="base", store=store, options=Options(cpus=cpus))
    graph = build(chain(base, [0.0] * NODES)[-1:])
    cpu, own, began = TreeCpu(), time.process_time(), time.monotonic()
    run(graph, name="pass", store=store, options=Options(cpus=cpus))
    own, wall, seconds = time.process_time() - own, time.monotonic() - began, cpu.stop()
    functions = bare(shards)
    tasks = shards * NODES
    size = f"{shards} shards x {NODES} nodes"
    # With few shards the start of the workers weighs too much to hold anything against the bound.
    most = MUST_MS if shards >= 1000 else None
    over = round(1000 * (seconds - functions) / tasks, 3)
    return [
        record(row, f"engine CPU per shard and node over the bare functions, {size}", over, "ms", most),
        record(row, f"CPU of the driver per shard and node, {size}", round(1000 * own / tasks, 3), "ms"),
        record(row, f"all CPU, {size}", round(seconds, 2), "s"),
        record(row, f"bare functions, {size}", round(functions, 2), "s"),
        record(row, f"wall time, {size}", round(wall, 2), "s"),
    ]
