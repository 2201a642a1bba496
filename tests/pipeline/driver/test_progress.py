"""What is told of a run: lines, JSON lines, the table's cells, and the event log."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from pipeline.driver.progress import Board, JsonLines, Lines, Progress, Several, line
from pipeline.driver.progress_table import LiveTable, cells
from pipeline.quantities import duration, number, size
from pipeline.store.events import EventLog, Recorder, read_events
from pipeline.store.open import open_store


@dataclass
class Entry:
    name: str
    action: str
    why: str = "never run in this store"


@dataclass
class Plan:
    name: str = "first"
    entries: tuple[Entry, ...] = (Entry("docs", "reuse"), Entry("clean", "run"))

    def to_json(self):
        return {"name": self.name}


def told(watcher) -> None:
    """A small run: one node in two shards, a training, a failure."""
    watcher.started(Plan())
    watcher.node("clean", "running", "rows", 0, 2)
    watcher.node("clean", "running", "rows", 1, 2, 100, 60, 4096, 0)
    watcher.node("clean", "done", "rows", 2, 2, 200, 120, 8192, 2**20)
    watcher.event("lost", "training", {"step": 10, "steps": 100, "loss": 7.25, "tokens_per_second": 12345.6})
    watcher.failed("table", "all", ValueError("no number"))
    watcher.failed("table", "more", "the same again")
    watcher.finished("first")


def test_a_line_for_each_change_and_the_first_cause_of_a_failure() -> None:
    stream = io.StringIO()
    told(Lines(stream))
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

    watcher = Lines(Stream(), heartbeat=0.05)
    watcher.started(Plan())
    watcher.node("clean", "running", "rows", 0, 2)
    assert spoke.wait(20)
    watcher.close()


def test_json_lines_are_one_object_a_call() -> None:
    stream = io.StringIO()
    told(JsonLines(stream))
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
        threading.Thread(target=lambda i=i: [watcher.node(f"n{i}", "running", "rows", j, 99) for j in range(99)])
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
    node = Progress("a", "running", done=1, total=4, rows_in=500, rows_kept=100, began=100.0)
    assert node.rate(110.0) == 50.0
    assert node.left(110.0) == 30.0
    node.first_step, node.latest = (10, 105.0), {"step": 60, "steps": 100}
    assert node.left(110.0) == 4.0
    node.state, node.ended = "done", 120.0
    assert (node.left(130.0), node.seconds(130.0)) == (None, 20.0)
    assert line(node, 130.0) == "a: done, 1/4, 100 of 500 rows kept, 25 rows/s, 20 s"


def test_the_table_shows_what_the_board_knows() -> None:
    from rich.console import Console

    stream = io.StringIO()
    table = LiveTable(Console(file=stream, force_terminal=True, width=120, color_system=None))
    told(table)
    drawn = stream.getvalue()
    for text in ("docs", "reused", "clean", "2/2", "200", "120", "1.0 MiB", "step 10/100, loss 7.250, 12,346 tokens/s"):
        assert text in drawn
    assert drawn.count("no number") == 1
    board = Board()
    board.plan(Plan())
    assert cells(board.nodes["docs"], 0.0) == ("docs", "reused", "", "", "", "", "", "", "")


def test_numbers_in_words() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 * 2**30, 3 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3.0 TiB",
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
    told(Several(Recorder(store, "first"), JsonLines(io.StringIO())))
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
