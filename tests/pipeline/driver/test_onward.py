"""Phases with one task each, one behind the other, are one Ray task, and nothing else about them changes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from corpus import bytes_of, write_corpus
from nodes import Lines

from pipeline.contract import Context, Node, Result, TaskPhase, runtime
from pipeline.driver.execute import POLL_SECONDS, Driver, Options, run
from pipeline.driver.progress import Watcher
from pipeline.errors import NodeFailed
from pipeline.graph import build
from pipeline.store.ledger import Ledger
from pipeline.store.open import open_store
from pipeline.worker.tasks import after_death, run_onward


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps(Node):
    """Phases `a`, `b`, ... of so many tasks each; a task adds up what those of the phase before it have said.

    marks  a folder, for one file per call, with the Ray task it was made in
    apart  every other phase asks for other CPUs, for a `fresh` process, or to run in the `driver`
    fails, dies  a phase, or a task of one (`a-02`), that raises or kills its worker while there is no file `marks`/well
    """

    docs: Node
    tasks: tuple[int, ...] = (1, 1, 1)
    marks: str = runtime("")
    apart: str = runtime("")
    fails: str = runtime("")
    dies: str = runtime("")

    def phases(self):
        other = {"": {}, "cpus": {"cpus": 0.5}, "fresh": {"fresh": True}, "driver": {"place": "driver"}}[self.apart]
        return tuple(
            TaskPhase(
                name=name,
                keys=lambda ctx, n=count: [f"{i:02d}" for i in range(n)],
                run=self._run,
                **(other if i % 2 else {}),
            )
            for i, (name, count) in enumerate(zip("abcdef", self.tasks, strict=False))
        )

    def _run(self, ctx: Context, key: str) -> Result:
        import ray

        task = ray.get_runtime_context().get_task_id() if ray.is_initialized() else None
        marks = Path(self.marks)
        (marks / f"{ctx.phase}-{key}-{len(list(marks.iterdir()))}").write_text(json.dumps(task))
        if not (marks / "well").exists():
            if self.fails in (ctx.phase, f"{ctx.phase}-{key}"):
                raise ValueError("not well")
            if ctx.phase == self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
        before = chr(ord(ctx.phase) - 1)
        total = 1
        if before in ctx.binding.phases:
            total += sum(ctx.result(before, each).counts["total"] for each in ctx.keys(before))
        with ctx.create(".txt") as path:
            path.write_text(str(total))
        return Result({"total": total})


@pytest.fixture
def steps(local_ray, tmp_path):
    paths = write_corpus(tmp_path / "in", files=2, lines=5)
    (tmp_path / "marks").mkdir()

    def made(**fields) -> Steps:
        return Steps(docs=Lines(paths=paths), marks=str(tmp_path / "marks"), **fields)

    return made


def go(store: Path, node: Node):
    return run(build([node]), name="run", store=str(store), options=Options(cpus=2))


def calls(node: Steps) -> dict[str, list[str]]:
    """Phase -> the Ray tasks in which it was called, in order."""
    found: dict[str, list[str]] = {}
    files = [path for path in Path(node.marks).iterdir() if "-" in path.name]
    for path in sorted(files, key=lambda path: int(path.name.rpartition("-")[2])):
        found.setdefault(path.name[0], []).append(json.loads(path.read_text()))
    return found


def ray_tasks(node: Steps) -> int:
    """How many there were."""
    return len({task for tasks in calls(node).values() for task in tasks})


def receipts(store: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.stem}" for path in store.glob("nodes/steps-*/receipts/*/*.json"))


def test_single_tasks_are_one_ray_task(steps, tmp_path):
    node = steps()
    assert go(tmp_path / "store", node)["steps"].finished
    tasks = calls(node)
    assert [len(tasks[phase]) for phase in "abc"] == [1, 1, 1]
    assert len({*tasks["a"], *tasks["b"], *tasks["c"]}) == 1


def test_a_phase_of_several_tasks_ends_it_and_the_next_begins_anew(steps, tmp_path):
    node = steps(tasks=(3, 1, 1, 2, 1, 1))
    go(tmp_path / "store", node)
    tasks = calls(node)
    assert [len(set(tasks[phase])) for phase in "abcdef"] == [3, 1, 1, 2, 1, 1]
    assert tasks["b"] == tasks["c"]
    assert tasks["e"] == tasks["f"]
    assert ray_tasks(node) == 3 + 1 + 2 + 1


@pytest.mark.parametrize("apart", ["cpus", "fresh", "driver"])
def test_phases_for_other_processes_are_sent_one_by_one_and_write_the_same(steps, tmp_path, apart):
    together, single = steps(tasks=(2, 1, 1, 1)), steps(tasks=(2, 1, 1, 1), apart=apart)
    go(tmp_path / "together", together)
    assert ray_tasks(together) == 3
    for mark in Path(together.marks).iterdir():
        mark.unlink()
    go(tmp_path / "single", single)
    tasks = calls(single)
    assert not {*tasks["b"]} & {*tasks["c"]}
    assert not {*tasks["c"]} & {*tasks["d"]}
    assert bytes_of(tmp_path / "together") == bytes_of(tmp_path / "single")


def test_every_task_is_counted_once_however_slowly_the_driver_notes_them(steps, tmp_path, monkeypatch):
    """While it does, the phases that the worker has gone through already are nobody else's to begin."""
    tallies = []

    class Counts(Watcher):
        def node(self, name, state, phase, done, total, *rest):
            tallies.append((name, done, total))

    note = Driver._note_receipt

    def slowly(self, node, phase, *rest):
        note(self, node, phase, *rest)
        time.sleep(2 * POLL_SECONDS)

    monkeypatch.setattr(Driver, "_note_receipt", slowly)
    run(build([steps()]), name="run", store=str(tmp_path / "store"), options=Options(cpus=2), watcher=Counts())
    assert tallies[-1] == ("steps", 3, 3)


def test_a_phase_that_fails_is_named_and_those_before_it_are_done(steps, tmp_path):
    node = steps(fails="b")
    with pytest.raises(NodeFailed, match="steps, 00: not well"):
        go(tmp_path / "store", node)
    assert receipts(tmp_path / "store") == ["a/00"]
    Path(node.marks, "well").touch()
    go(tmp_path / "store", node)
    assert {phase: len(tasks) for phase, tasks in calls(node).items()} == {"a": 1, "b": 2, "c": 1}


def test_a_phase_whose_last_task_is_done_later_is_known_whole_to_those_behind_it(steps, tmp_path):
    node = steps(tasks=(3, 1), fails="a-02")
    with pytest.raises(NodeFailed, match="steps, 02: not well"):
        go(tmp_path / "store", node)
    assert receipts(tmp_path / "store") == ["a/00", "a/01"]
    Path(node.marks, "well").touch()
    go(tmp_path / "store", node)
    go(tmp_path / "unbroken", steps(tasks=(3, 1)))
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "unbroken")


def test_a_phase_that_kills_its_worker_is_named_and_those_before_it_are_done_once(steps, tmp_path):
    node = steps(dies="c")
    with pytest.raises(NodeFailed, match=r"steps, c: .*died"):
        go(tmp_path / "store", node)
    assert receipts(tmp_path / "store") == ["a/00", "b/00"]
    assert {phase: len(tasks) for phase, tasks in calls(node).items()} == {"a": 1, "b": 1, "c": 4}
    binding = Ledger(build([node]), open_store(str(tmp_path / "store"))).binding(node, {}, "", 1)
    left = after_death(binding, "abc", "00", ValueError("died"))
    assert [(outcome.phase, outcome.receipt and outcome.receipt.counts["total"]) for outcome in left] == [
        ("a", 1), ("b", 2), ("c", None)
    ]  # fmt: skip
    Path(node.marks, "well").touch()
    go(tmp_path / "store", node)
    assert receipts(tmp_path / "store") == ["a/00", "b/00", "c/00"]


def test_a_stop_is_heeded_between_two_phases(steps, tmp_path):
    node = steps()
    go(tmp_path / "store", node.docs)
    graph, store = build([node]), open_store(str(tmp_path / "store"))
    binding = Ledger(graph, store).binding(node, {}, "stop", 1)
    store.write("stop", b"")
    assert [outcome.phase for outcome in run_onward(binding, "abc", "00")] == ["a"]
    outcomes = run_onward(replace(binding, stop_name=""), "abc", "00")
    assert [(outcome.phase, outcome.error) for outcome in outcomes] == [("a", None), ("b", None), ("c", None)]
    assert len(calls(node)["a"]) == 1  # its receipt stood


def test_keys_that_cannot_be_named_are_a_failure_of_their_phase(steps, tmp_path):
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Lost(Steps):
        recipe_name = "steps"

        def phases(self) -> Sequence[TaskPhase]:
            first, second, third = super().phases()
            return first, replace(second, keys=lambda ctx: [str(1 // 0)]), third

    node = steps()
    lost = Lost(docs=node.docs, marks=node.marks)
    with pytest.raises(NodeFailed, match=r"steps, b: .*division"):
        go(tmp_path / "store", lost)
    assert receipts(tmp_path / "store") == ["a/00"]
