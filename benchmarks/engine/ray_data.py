"""Rows `ray-data`: what Ray Data costs whatever the documents: once per driver, once per pass, once per block.

Counted is the CPU of the driver, of Ray's own processes and of the workers, from the end of `ray.init`. The first
pipeline pays for importing Ray Data in the driver and in every worker, and for the helper actors.
"""

from __future__ import annotations

import sys

from benchmarks.engine.records import record
from benchmarks.engine.tree_cpu import TreeCpu
from pipeline.ray_runtime import session

PASSES = 10
BLOCKS = 100


def measure(cpus: int) -> list[dict]:
    session.start(cpus, None)
    assert "ray.data" not in sys.modules, "measure this first: a driver pays it once"
    first = cpu_of(lambda: pipeline(BLOCKS))  # enough for every worker to start
    further = cpu_of(lambda: [pipeline(1) for _ in range(PASSES)]) / PASSES
    block = (cpu_of(lambda: pipeline(BLOCKS)) - further) / BLOCKS
    return [
        _record("fixed cost of Ray Data, once per driver", first - further - BLOCKS * block, "s"),
        _record("fixed cost of Ray Data, per further pass", further, "s"),
        _record("cost of a block", 1000 * block, "ms"),
    ]


def cpu_of(work) -> float:
    cpu = TreeCpu()
    work()
    return cpu.stop()


def pipeline(blocks: int) -> None:
    import ray.data

    dataset = ray.data.from_items([{"works": b""} for _ in range(blocks)], override_num_blocks=blocks)
    dataset = dataset.map_batches(_same, batch_size=None, batch_format="pyarrow", num_cpus=1)
    dataset.context.enable_progress_bars = dataset.context.print_on_execution_start = False
    for _ in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        pass


def _same(block):
    yield block


def _record(what: str, value: float, unit: str) -> dict:
    return record("ray-data", what, round(value, 2), unit)
