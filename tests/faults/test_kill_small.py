"""SIGKILL of a driver and all it started, at every moment of every node of a graph with every shape of node.

One moment of one node is part of the plain suite; all of them run under `make faults`.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import drive
import pytest
from corpus import bytes_of, whole, write_corpus
from kill import MOMENTS, changed, receipted, run_to_the_end, run_until_killed

from pipeline.run import open_run

LABELS = ("docs", "long", "strip", "vowels", "twins", "tally", "common", "count")


@dataclass(frozen=True)
class Unbroken:
    store: Path
    paths: tuple[str, ...]

    def command(self, store: Path) -> list[str]:
        return [sys.executable, drive.__file__, json.dumps({"store": str(store), "paths": self.paths, "cpus": 2})]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = tmp_path_factory.mktemp("unbroken")
    made = Unbroken(folder / "store", write_corpus(folder / "in"))
    run_to_the_end(made.command(made.store))
    return made


def without(unbroken: Unbroken, label: str, store: Path) -> str:
    """A copy of the unbroken store without a node and all that stands on it; the node's folder."""
    shutil.copytree(unbroken.store, store)
    graph = whole(unbroken.paths)
    nodes = {graph.names[node]: node for node in graph.nodes}
    run = open_run(str(store), "whole")
    for node in graph.nodes:
        if node is nodes[label] or nodes[label] in graph.ancestors(node):
            shutil.rmtree(store / run[graph.names[node]].folder)
    return run[label].folder.removeprefix("nodes/")


def break_and_go_on(unbroken: Unbroken, label: str, moments: list[str], folder: Path) -> None:
    """Kill at one moment after the other, each time with the same command, then let it end."""
    store = folder / "store"
    node = without(unbroken, label, store)
    tasks = len(list((unbroken.store / "nodes" / node / "receipts").rglob("*.json")))
    before: dict[str, int] = {}
    for number, moment in enumerate(moments):
        nth = (tasks + 1) // 2 - len(list((store / "nodes" / node / "receipts").rglob("*.json")))
        kill = f"{node}:{MOMENTS[moment]}" + (f":{max(nth, 1)}" if moment == "in the middle" else "")
        run_until_killed(unbroken.command(store), kill, folder / f"killed-{number}")
        assert changed(before, store) == set(), moment
        assert not (store / "nodes" / node / "manifest.json").exists()
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
    assert not list(store.glob("nodes/*/lease/*"))


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_bytes(unbroken, tmp_path):
    """The node with every kind of phase, at the moment when there are data that nothing names yet."""
    break_and_go_on(unbroken, "twins", ["between data and receipt"], tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("label", LABELS)
def test_every_moment_of_every_node(unbroken, tmp_path, label):
    break_and_go_on(unbroken, label, list(MOMENTS), tmp_path)


@pytest.mark.faults
def test_a_run_that_is_killed_at_every_receipt(unbroken, tmp_path):
    """As often as there is one: every run makes one step and dies."""
    store = tmp_path / "store"
    total = len([name for name in bytes_of(unbroken.store) if "/receipts/" in name])
    before: dict[str, int] = {}
    for number in range(total // 3):
        run_until_killed(unbroken.command(store), "nodes/:after-receipt:3", tmp_path / f"killed-{number}")
        assert changed(before, store) == set()
        before = receipted(store)
        if len([name for name in before if "/receipts/" in name]) > total - 3:
            break
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
