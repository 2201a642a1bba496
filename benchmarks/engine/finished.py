"""Rows `finished`: what a driver spends on a corpus of very many shards of which nothing is due.

The store is made without running anything: five nodes over shards of one row have the receipts that their tasks would
have returned, and are committed by the driver's own code; their files are links to one of a byte. Then a driver in a
process of its own plans and runs the graph.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.engine.nodes import NODES, SHARDS_A_TASK, Made, chain
from benchmarks.engine.records import record
from pipeline.contract import NewShard, Node, shard_facts
from pipeline.driver.commit import finish
from pipeline.driver.execute import run
from pipeline.driver.fanout import pass_work
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import plan
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.results.lease import Leases
from pipeline.results.receipts import Receipt, data_name

MOST_PLAN, MOST_RUN, MOST_DRIVER, MOST_WORKER = 2.0, 5.0, 500.0, 5.0  # s, s, MB, MB
LINKS = 30_000  # to one file: file systems bound them


def measure(folder: Path, shards: int) -> list[dict]:
    store, nodes = str(folder / "finished"), _nodes(shards)
    told = lay_down(Path(store), nodes)
    command = [sys.executable, "-m", "benchmarks.engine.finished", store, str(shards)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    size = f"{shards} shards x {NODES} nodes"
    bound = (lambda most: most) if shards >= 100_000 else (lambda most: None)
    return [
        # One thread does it, so on a quiet machine it takes as long as its CPU time.
        record("finished", f"`plan`, CPU, {size}", found["plan"][0], "s", bound(MOST_PLAN)),
        record("finished", f"`plan`, wall time, {size}", found["plan"][1], "s"),
        record("finished", f"a run with nothing to do, CPU, {size}", found["run"][0], "s", bound(MOST_RUN)),
        record("finished", f"a run with nothing to do, wall time, {size}", found["run"][1], "s"),
        record("finished", f"memory of its driver, {size}", found["memory"], "MB", bound(MOST_DRIVER)),
        record("finished", f"what a worker is told of the pass, {size}", round(told / 1e6, 3), "MB", MOST_WORKER),
    ]


def _nodes(shards: int) -> list[Node]:
    base = Made(shards=shards, rows=1, words=50)
    return [base, *chain(base, [0.0] * NODES)]


def lay_down(root: Path, nodes: Sequence[Node]) -> int:
    """Commit a base and the nodes over it; bytes of what a worker would have been told of their pass."""
    base, *rest = nodes
    assert isinstance(base, Made)
    store = LocalStore(str(root))
    state, leases = Ledger(build(nodes[-1:]), store), Leases(store)
    _commit(state, leases, base, "shards", (_base_receipt(key, base) for key in base.phases()[0].keys(None)))  # type: ignore
    phases, works = pass_work(
        state, [(node, node.phases()[0]) for node in rest], lambda node: state.binding(node, {}, "", 1),
        lambda node: {},
    )  # fmt: skip
    assert len(works) == base.shards
    for node in rest:
        shards = state.shard_keys(node)
        _commit(state, leases, node, "rows", (_receipt("rows", name, [f"{name}.parquet"]) for name in shards))
    leases.close()
    return len(pickle.dumps(phases))


def _base_receipt(key: str, base: Made) -> Receipt:
    numbers = range(int(key), min(int(key) + SHARDS_A_TASK, base.shards))
    new = [NewShard(key=f"{n:06d}", rows=1, text_bytes=300, ext=f"-{n:06d}.parquet") for n in numbers]
    return _receipt("shards", key, [f"{key}{shard.ext}" for shard in new], len(new), shard_facts(new))


def _receipt(phase: str, key: str, files: Sequence[str], rows: int = 1, facts: dict | None = None) -> Receipt:
    counts = {"rows": rows, "kept": rows, "alive_in": rows, "alive_out": rows}
    return Receipt(phase, key, {name: {"size": 1, "sha256": "0" * 64} for name in files}, [], counts, facts or {})


def _commit(state: Ledger, leases: Leases, node: Node, phase: str, receipts: Iterator[Receipt]) -> None:
    keys, links, folder = [], 0, state.folder(node)
    root = state.store.local("nodes").parent
    source = root / "byte"
    for receipt in receipts:
        keys.append(receipt.key)
        state.note(node, receipt)
        for file in receipt.files:
            path = root / data_name(folder, phase, file)
            if links % LINKS == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                source.unlink(missing_ok=True)
                source.write_bytes(b"1")
            os.link(source, path)
            links += 1
    leases.acquire(folder)
    finish(state, node, {phase: keys}, leases, "")
    leases.release(folder)


def main(store: str, shards: int) -> None:
    graph = build(_nodes(shards)[-1:])
    times = [(time.process_time(), time.monotonic())]
    assert {entry.action for entry in plan(graph, store, "run").entries} == {"reuse"}
    times.append((time.process_time(), time.monotonic()))
    gc.collect()
    run(graph, name="run", store=store)
    times.append((time.process_time(), time.monotonic()))
    spent = [[round(b - a, 2) for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(times)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"plan": spent[0], "run": spent[1], "memory": round(memory)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
