"""Row A-12: CPU of the engine per shard and node, over the bare functions.

Many shards of one row through one pass of five nodes is the worst case: everything that is not the row function is the
engine's (and Ray's). Counted is the CPU of the driver, of Ray's own processes and of the workers, from the end of
`ray.init` to the last manifest; starting the workers is in it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil

from benchmarks.engine.nodes import Made, chain, documents
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from pipeline.ray_runtime import session

NODES = 5
MUST_MS = 5.0  # per shard and node


class TreeCpu:
    """CPU seconds of this process and all below it, those that have ended in the meantime included."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()
        self._look()
        self._start = self.total()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def total(self) -> float:
        return sum(self._seconds.values())

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self._look()

    def _look(self) -> None:
        this = psutil.Process()
        for process in [this, *this.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue

    def stop(self) -> float:
        """CPU seconds since the start."""
        self._stop.set()
        self._thread.join()
        self._look()
        return self.total() - self._start


def bare(shards: int) -> float:
    """CPU seconds of the five functions over the same rows, one row at a time."""
    functions = [node.measure for node in chain(Made(shards=1, rows=1, words=50), [0.0] * NODES)]
    tables = [documents(1, 50, number).append_column("_row", [[0]]) for number in range(shards)]
    began = time.process_time()
    for table in tables:
        for function in functions:
            function(table)
    return time.process_time() - began


def measure(folder: Path, shards: int, cpus: int) -> list[dict]:
    base = Made(shards=shards, rows=1, words=50)
    session.start(cpus, None)
    store = str(folder / "overhead")
    run(build([base]), name="base", store=store, options=Options(cpus=cpus))
    graph = build(chain(base, [0.0] * NODES)[-1:])
    cpu, began = TreeCpu(), time.monotonic()
    run(graph, name="pass", store=store, options=Options(cpus=cpus))
    seconds, wall = cpu.stop(), time.monotonic() - began
    functions = bare(shards)
    value = 1000 * (seconds - functions) / (shards * NODES)
    what = f"engine CPU per shard and node over the bare functions, {shards} shards x {NODES} nodes"
    # With few shards the start of the workers weighs too much to hold anything against the bound.
    holds = value <= MUST_MS if shards >= 1000 else None
    return [
        {"row": "A-12", "what": what, "value": round(value, 3), "unit": "ms", "must": f"<= {MUST_MS}", "holds": holds},
        {"row": "A-12", "what": "all CPU", "value": round(seconds, 2), "unit": "s", "must": None, "holds": None},
        {
            "row": "A-12",
            "what": "bare functions",
            "value": round(functions, 2),
            "unit": "s",
            "must": None,
            "holds": None,
        },
        {"row": "A-12", "what": "wall time", "value": round(wall, 2), "unit": "s", "must": None, "holds": None},
    ]
