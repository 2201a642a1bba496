"""What is told of a run: lines, JSON lines, the table's cells, and the event log."""

from __future__ import annotations

import io
import json
import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.contract import Node
from pipeline.driver.reporter import Reporter
from pipeline.errors import UserError
from pipeline.files.open_store import open_store
from pipeline.progress.board import Board, NodeStatus, line
from pipeline.progress.history import Took, earlier, time_left
from pipeline.progress.lines import JsonLines, ProgressLines
from pipeline.progress.recorder import Recorder
from pipeline.progress.table import LiveTable, cells, shown
from pipeline.progress.watcher import Finished, NodeProgress, Started, TaskEvent, TaskFailed, Watchers
from pipeline.quantities import duration, number, setting, size
from pipeline.results.events import EventLog, read_events


@dataclass
class Entry:
    name: str
    action: str
    why: str = "not run yet"
    passes: tuple[int, ...] = ()


@dataclass
class Plan:
    name: str = "first"
    entries: tuple[Entry, ...] = (Entry("docs", "reuse"), Entry("clean", "run"))

    def to_json(self):
        return {"name": self.name}


def report_to(watcher) -> None:
    """A small run: one node in two shards, a training, a failure."""
    trained = {"step": 10, "steps": 100, "loss": 7.25}
    watcher.notify(Started(Plan()))
    watcher.notify(NodeProgress("clean", "running", "rows", 0, 2))
    watcher.notify(NodeProgress("clean", "running", "rows", 1, 2, 100, 60, 4096, 0))
    watcher.notify(NodeProgress("clean", "done", "rows", 2, 2, 200, 120, 8192, 2**20))
    watcher.notify(TaskEvent("lost", "training", trained, "step 10/100, loss 7.250"))
    watcher.notify(TaskFailed("table", "all", ValueError("no number")))
    watcher.notify(TaskFailed("table", "more", "the same again"))
    watcher.notify(Finished("first"))


def test_a_line_for_each_change_and_the_first_cause_of_a_failure() -> None:
    stream = io.StringIO()
    report_to(ProgressLines(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "1 nodes are reused, 1 to do"
    assert lines[1] == "clean: running, 0/2 rows"
    assert lines[2].startswith("clean: done, 2/2 rows, 120 of 200 rows kept")
    assert lines[3] == "lost: waiting"
    assert lines[4:] == ["table: failed in all: no number", "finished"]


def test_a_long_silence_is_broken() -> None:
    """The heartbeat speaks for a node that runs on without a change; the stream says when it has."""
    spoke = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if self.getvalue().count("clean: running") >= 2:
                spoke.set()
            return super().write(text)

    watcher = ProgressLines(Stream(), heartbeat=0.05)
    watcher.notify(Started(Plan()))
    watcher.notify(NodeProgress("clean", "running", "rows", 0, 2))
    assert spoke.wait(20)
    watcher.close()


def test_json_lines_are_one_object_a_call() -> None:
    stream = io.StringIO()
    report_to(JsonLines(stream))
    events = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "started", "node", "node", "node", "training", "failed", "failed", "finished",
    ]  # fmt: skip
    assert events[2] == {
        "event": "node", "node": "clean", "state": "running", "phase": "rows", "done": 1, "total": 2,
        "rows_in": 100, "rows_kept": 60, "bytes": 4096, "memory": 0,
    }  # fmt: skip


def test_several_threads_tear_no_line() -> None:
    stream = io.StringIO()
    watcher = JsonLines(stream)
    threads = [
        threading.Thread(
            target=lambda i=i: [watcher.notify(NodeProgress(f"n{i}", "running", "rows", j, 99)) for j in range(99)]
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [json.loads(text) for text in stream.getvalue().splitlines()]
    for i in range(8):
        assert [event["done"] for event in events if event["node"] == f"n{i}"] == list(range(99))


def test_rate_and_time_left_follow_from_what_was_seen() -> None:
    at = NodeProgress("a", "running", done=1, total=4, rows_in=500, rows_kept=100)
    node = NodeStatus(at, began=100.0)
    assert node.rate(110.0) == 50.0
    assert node.left(110.0) == 30.0
    node.first_step, node.values = (10, 105.0), {"step": 60, "steps": 100}
    assert node.left(110.0) == 4.0
    node.progress, node.ended = replace(at, state="done"), 120.0
    assert (node.left(130.0), node.seconds(130.0)) == (None, 20.0)
    assert line(node, 130.0) == "a: done, 1/4, 100 of 500 rows kept, 25 rows/s, 20 s"


def test_the_time_left_covers_nodes_that_wait(tmp_path: Path) -> None:
    """Times of an earlier run, scaled by rows; nodes of one pass count once; a node that is new makes it a minimum."""
    store = open_store(str(tmp_path))
    store.write("runs/first/run.json", b'{"nodes": {}}')
    recorder = Recorder(store, "first")
    recorder.notify(Started(Plan("first")))
    for name, rows in (("docs", 100), ("clean", 100), ("plain", 100), ("lost", 0)):
        recorder.notify(NodeProgress(name, "running"))
        recorder.notify(NodeProgress(name, "done", "rows", 1, 1, rows, rows))
    recorder.close()
    known = earlier(store, "first@2")
    assert {name: took.rows for name, took in known.items()} == {"docs": 100, "clean": 100, "plain": 100, "lost": 0}
    known = {"docs": Took(1.0, 100), "clean": Took(4.0, 100), "plain": Took(3.0, 100), "lost": Took(60.0, 0)}
    nodes = {
        "docs": NodeStatus(NodeProgress("docs", "done", rows_in=1000)),
        "clean": NodeStatus(NodeProgress("clean"), passes=(1,)),
        "plain": NodeStatus(NodeProgress("plain"), passes=(1,)),
        "lost": NodeStatus(NodeProgress("lost")),
    }
    assert time_left(nodes.values(), 0.0, known) == (40.0 + 60.0, True)
    nodes["read"] = NodeStatus(NodeProgress("read", "running", done=1, total=3), began=0.0)
    assert time_left(nodes.values(), 5.0, known) == (10.0 + 100.0, True)
    known["slow"] = Took(50.0, 0)
    nodes["slow"] = NodeStatus(NodeProgress("slow", "running"), began=0.0)  # no task of it has come in
    assert time_left(nodes.values(), 5.0, known) == (45.0 + 100.0, True)
    del nodes["slow"]
    nodes["new"] = NodeStatus(NodeProgress("new"))
    assert time_left(nodes.values(), 5.0, known) == (110.0, False)
    started = Started(Plan(entries=(Entry("clean", "run"),)), {"clean": Took(4.0, 100)})
    board = Board()
    board.notify(started)
    assert board.left(0.0) == "about 4 s left"
    stream = io.StringIO()
    table = LiveTable(Console(file=stream, force_terminal=True, width=80, height=24, color_system=None))
    table.notify(started)
    table.close()
    assert re.search(r"0 of 1 nodes are ready, 0 s so far, about 4 s left *$", stream.getvalue(), re.MULTILINE)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_what_the_board_knows_and_no_line_wraps(width: int) -> None:
    stream = io.StringIO()
    table = LiveTable(Console(file=stream, force_terminal=True, width=width, height=24, color_system=None))
    report_to(table)
    drawn = stream.getvalue().rpartition("node ")[2]
    for text in ("docs", "reused", "clean", "2/2", "120 of 200", "step 10/100, loss 7.250", "2 of 4 nodes are ready"):
        assert text in drawn
    assert ("1.0 MB" in drawn) == (width == 120)
    assert stream.getvalue().count("no number") == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert plain.splitlines()[0].rstrip().endswith("time")
    assert len(plain.splitlines()) == 6  # the header, four nodes, the summary
    board = Board()
    board.notify(Started(Plan()))
    assert cells(board.nodes["docs"], 0.0) == ("docs", "reused", "", "", "", "", "")


def test_a_table_higher_than_the_terminal_keeps_the_nodes_at_work() -> None:
    states = ["reused"] * 10 + ["done"] * 10 + ["running"] * 3 + ["waiting"] * 10
    nodes = [NodeStatus(NodeProgress(str(i), state)) for i, state in enumerate(states)]
    seen = [node.progress.name for node in shown(nodes, 8)]
    assert seen == [str(i) for i in range(20, 28)]


def test_numbers_in_words() -> None:
    assert [size(n) for n in (0, 999, 1000, 5 * 10**9, 3 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "5.0 GB",
        "3.0 TB",
    ]
    assert [duration(s) for s in (0.2, 59.4, 60, 187, 7387)] == ["0 s", "59 s", "1:00", "3:07", "2:03:07"]
    assert [number(v) for v in (1234567, 0.123456, 12345.6, True, "x")] == [
        "1,234,567",
        "0.1235",
        "12,346",
        "True",
        "x",
    ]


def test_the_event_log_is_one_segment_per_driver_and_survives_a_torn_line(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    report_to(Watchers(Recorder(store, "first"), JsonLines(io.StringIO())))
    log = EventLog(store, "first")
    log.write("note", node="clean", value=3)
    (segment,) = [name for name in store.names("runs/first/events") if name == log.name.rpartition("/")[2]]
    with (tmp_path / "runs/first/events" / segment).open("a") as file:
        file.write('{"time": "2026')
    events = list(read_events(store, "first"))
    assert len({event["driver"] for event in events}) == 2
    assert [event["event"] for event in events] == [
        "driver", "started", "node", "node", "training", "failed", "failed", "finished", "driver", "note",
    ]  # fmt: skip
    assert events[-1]["value"] == 3
    assert all(event["time"] for event in events)


def test_a_folder_of_runs_that_is_no_run_is_passed_over(tmp_path):
    store = open_store(str(tmp_path))
    (tmp_path / "runs" / "first@old").mkdir(parents=True)
    assert earlier(store, "first") == {}


@pytest.mark.parametrize(
    ("loss", "shown"), [(2.5, "step 3, loss 2.500"), (None, "step 3"), ("nan", "step 3, loss nan")]
)
def test_a_report_that_fits_no_format_ends_no_run(loss, shown):
    """The loss of a training that has diverged is null in its log."""

    class Trains(Node):
        progress_formats = {"loss": "loss {:.3f}"}  # noqa: RUF012

    told: list[TaskEvent] = []
    node = Trains()
    watcher = Watchers()
    watcher.notify = told.append
    Reporter({node: "train"}, watcher).event(node, "training", {"step": 3, "loss": loss})
    assert [event.text for event in told] == [shown]


@pytest.mark.parametrize("text", ["abc", "10GB", "0", "-1", "inf", "nan"])
def test_a_setting_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("SIFTLOOM_LEASE_SECONDS", text)
    with pytest.raises(UserError, match=r"\$SIFTLOOM_LEASE_SECONDS: .* expected a number above 0"):
        setting("SIFTLOOM_LEASE_SECONDS", 60)
    monkeypatch.setenv("SIFTLOOM_LEASE_SECONDS", "2.5")
    assert setting("SIFTLOOM_LEASE_SECONDS", 60) == 2.5
    monkeypatch.delenv("SIFTLOOM_LEASE_SECONDS")
    assert setting("SIFTLOOM_LEASE_SECONDS", 60) == 60
