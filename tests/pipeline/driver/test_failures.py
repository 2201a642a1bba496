"""What goes wrong in one place stays there, is named with its first cause, and costs that place only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of, times_of, whole, write_corpus
from drive import finish, start
from nodes import Common, Lines, Long, Tally, Vowels
from troubled import Careless, Chokes, Dies, Draws, Large, Leaks, Silent, Unsure

from pipeline.contract import Node, Result, TaskPhase
from pipeline.driver.execute import Options, run
from pipeline.driver.keys import PhaseKeys
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import Plan, plan
from pipeline.errors import BalanceError, DataError, DiskFull, NodeFailed, SourceChanged, SourceError, StoreError
from pipeline.files.objects import LocalStore
from pipeline.files.open_store import open_store
from pipeline.graph import build
from pipeline.progress.recorder import Recorder
from pipeline.progress.watcher import Notice, Started, TaskFailed
from pipeline.run import open_run

ROOT = Path(__file__).parents[3]
HERE, ON_RAY = Options(here=True), Options(cpus=2)  # where the driver outlives its workers


@pytest.fixture
def paths(tmp_path) -> tuple[str, ...]:
    """Three files; the second holds a word that some nodes cannot stand."""
    found = write_corpus(tmp_path / "in", files=3, lines=30)
    with (tmp_path / "in" / "part-01.txt").open("a") as file:
        file.write("a line with poison in it\n")
    return found


def go(store: Path, *targets: Node, options: Options = HERE):
    return run(build(targets), name="run", store=str(store), options=options)


def names_of(store: Path, kind: str, what: str = "receipts") -> list[str]:
    return sorted(p.name for p in store.glob(f"nodes/{kind}-*/{what}/**/*") if p.is_file())


def test_a_bad_shard_does_not_stop_the_others(paths, tmp_path):
    trouble = tmp_path / "trouble"
    trouble.touch()

    def graph():
        chokes = Chokes(docs=Long(docs=Lines(paths=paths)), while_file=str(trouble))
        return Vowels(docs=chokes), Long(docs=chokes.docs.docs, unit="byte")

    store = tmp_path / "store"
    with pytest.raises(NodeFailed, match=r"chokes, \w{8}-0001: cannot stand the word 'poison'") as caught:
        go(store, *graph())
    assert isinstance(caught.value.__cause__, ValueError)
    assert [len(names_of(store, kind)) for kind in ("long", "chokes", "vowels")] == [6, 2, 2]
    finished = {view.label: view.finished for view in open_run(str(store), "run").nodes}
    assert finished == {"lines": True, "long": True, "chokes": False, "vowels": False, "long_2": True}
    before = times_of(store)
    trouble.unlink()
    result = go(store, *graph())
    assert all(view.finished for view in result.nodes)
    after = times_of(store)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(("node", "message"), [
    (Leaks, r"leaks, commit: leaks\.all: 10 documents in \(seen\) but 9 out"),
    (Draws, "draws, commit: division by zero"),
    (Unsure, "unsure, all: .*division"),
    (Silent, "silent, all: .*nothing written; expected the file all.bin"),
])  # fmt: skip
def test_a_wrong_node_is_not_committed_and_its_neighbours_are(paths, tmp_path, node, message):
    docs = Lines(paths=paths)
    with pytest.raises(NodeFailed, match=message) as caught:
        go(tmp_path / "store", node(docs=docs), Long(docs=docs))
    if node is Leaks:
        assert isinstance(caught.value.__cause__, BalanceError)
    run = open_run(str(tmp_path / "store"), "run")
    assert not run[node.kind()].finished
    assert run["long"].finished
    assert not list((tmp_path / "store" / "temporary").iterdir())


def test_a_node_that_cannot_name_its_tasks_fails_once(paths, tmp_path):
    """While a neighbour works, the driver looks at the node again and again."""
    failures = []

    class Watcher:
        def notify(self, event):
            if isinstance(event, TaskFailed):
                failures.append((event.name, event.key))

    docs = Lines(paths=paths)
    graph = build([Unsure(docs=docs), Long(docs=docs, pause=1.0)])
    with pytest.raises(NodeFailed, match="unsure, all: ") as caught:
        run(graph, name="run", store=str(tmp_path / "store"), options=Options(here=True), watcher=Watcher())
    assert failures == [("unsure", "all")]
    assert "tasks failed" not in str(caught.value)


@pytest.mark.parametrize("keys", [("a", "b", "a"), ("a/b",), ("",), (".a",)])
def test_keys_that_are_no_names_of_files_are_named(tmp_path, keys):
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Keyed(Node):
        def phases(self):
            return (TaskPhase(name="work", keys=lambda ctx: keys, run=lambda ctx, key: Result()),)

    ledger = Ledger(build([Keyed()]), LocalStore(str(tmp_path / "store")))
    node = ledger.graph.targets[0]
    known = PhaseKeys(ledger, lambda node: True)
    with pytest.raises(DataError, match=r"keyed\.work: the key "):
        known.of(node, ledger.graph.phases(node)[0])


def test_a_node_that_removes_everything_stops_the_run_unless_it_may(paths, tmp_path):
    docs = Lines(paths=paths)
    gone = Long(docs=docs, min_chars=10_000)
    with pytest.raises(NodeFailed, match=r"long, commit: long: all \d+ documents were removed \(long\.short \d+\)"):
        go(tmp_path / "store", Vowels(docs=gone))
    assert not open_run(str(tmp_path / "store"), "run")["vowels"].finished
    allowed = Vowels(docs=Long(docs=docs, min_chars=10_000, allow_empty=True))
    found = go(tmp_path / "store", allowed)
    assert len(found["vowels"].rows(["id"])) == 0


def test_a_job_that_hangs_does_not_keep_the_process(tmp_path):
    """An error of the walk ends the run; a job that waits for something for ever must not hold the process."""
    program = (
        "import threading\n"
        "from pipeline.driver.jobs import Job, Jobs\n"
        "Jobs({}).start(Job(()), lambda post: threading.Event().wait())\n"
        "raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 3


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path, capfd):
    store = open_store(str(tmp_path))
    recorder = Recorder(store, "run")
    recorder.notify(Started(Plan("run", ())))
    recorder.notify(Notice("first"))
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").write_text("no folder any more")
    for _ in range(3):
        recorder.notify(Notice("second"))
    recorder.close()
    assert capfd.readouterr().err.count("the event log is not written any more: ") == 1
    Recorder(store, "run").notify(Started(Plan("run", ())))
    assert capfd.readouterr().err.count("the event log is not written any more: ") == 1


def test_a_shard_that_cannot_be_read_is_told_with_its_trace(copy):
    docs = copy.open()["docs"]
    path = docs.path("shards", docs.keys("shards")[1], ".parquet")
    path.write_bytes(b"\0" * path.stat().st_size)
    told: list[TaskFailed] = []

    class Watcher:
        def notify(self, event):
            told.extend([event] if isinstance(event, TaskFailed) else [])

    graph = copy.graph(long={"unit": "byte"})
    with pytest.raises(NodeFailed):
        run(graph, name="other", store=str(copy.store), options=Options(here=True), watcher=Watcher())
    assert told
    assert all("Traceback" in event.trace for event in told)


def test_descendants_of_a_failed_node_wait(paths, tmp_path):
    docs = Lines(paths=paths)
    with pytest.raises(NodeFailed, match="draws"):
        go(tmp_path / "store", Common(docs=docs, tally=Draws(docs=docs)))
    assert names_of(tmp_path / "store", "common") == []


def test_a_killed_worker_is_replaced_and_what_it_had_committed_stays(local_ray, tmp_path):
    paths = write_corpus(tmp_path / "in", files=12, lines=10)  # more shards than blocks
    for number in (1, 3, 5, 7):
        with (tmp_path / "in" / f"part-{number:02d}.txt").open("a") as file:
            file.write("a line with poison in it\n")
    for name in ("graves", "marks", "none"):
        (tmp_path / name).mkdir()
    dying = Dies(docs=Lines(paths=paths), graves=str(tmp_path / "graves"), marks=str(tmp_path / "marks"), times=2)
    died = go(tmp_path / "store", Vowels(docs=dying), options=ON_RAY)
    assert died["long"].finished
    assert len(list((tmp_path / "graves").iterdir())) == 2
    assert len(list((tmp_path / "marks").iterdir())) == 12  # one batch a shard, each scored once
    go(tmp_path / "plain", Vowels(docs=Dies(docs=Lines(paths=paths), graves=str(tmp_path / "none"), times=0)))
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "plain")


@pytest.mark.long
def test_a_shard_that_kills_every_worker_is_named_and_the_others_are_done(local_ray, paths, tmp_path, capfd):
    (tmp_path / "graves").mkdir()
    dying = Dies(docs=Lines(paths=paths), graves=str(tmp_path / "graves"), times=10**6)
    with pytest.raises(NodeFailed, match=r"long, \w{8}-0001: .*died"):
        go(tmp_path / "store", Vowels(docs=dying), options=ON_RAY)
    assert len(names_of(tmp_path / "store", "long")) == 2
    assert len(names_of(tmp_path / "store", "vowels")) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# sources -------------------------------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_named(paths, tmp_path):
    edited = f"{paths[0]}/part-02.txt"
    with pytest.raises(NodeFailed, match=r"lines, 0002: .*part-02\.txt: a file that has changed") as caught:
        go(tmp_path / "store", Long(docs=Careless(paths=paths, edited=edited)))
    assert isinstance(caught.value.__cause__, SourceChanged)
    assert names_of(tmp_path / "store", "lines") == ["0000.json", "0001.json"]
    # Run again: the file that lies there now is another input.
    assert go(tmp_path / "store", Long(docs=Lines(paths=paths)))["long"].finished


def test_a_file_that_is_written_again_with_the_same_bytes_is_fine(paths, tmp_path):
    edited = f"{paths[0]}/part-02.txt"
    go(tmp_path / "store", Long(docs=Careless(paths=paths, edited=edited, as_it_was=True)))


def test_a_file_that_changes_between_plan_and_run_is_another_input(paths, tmp_path):
    graph, store = build([Long(docs=Lines(paths=paths))]), str(tmp_path / "store")
    run(graph, name="run", store=store, options=Options(here=True))
    assert {entry.action for entry in plan(graph, store, "run").entries} == {"reuse"}
    (Path(paths[0]) / "part-00.txt").write_text("only this line\n")
    found = run(build([Long(docs=Lines(paths=paths))]), name="run", store=store, options=Options(here=True))
    assert found["long"].rows(["text"])["text"].to_pylist()[0] == "only this line"


def test_a_missing_file_is_named_before_anything_runs(tmp_path):
    with pytest.raises(SourceError, match=r"lines\.paths: nothing matches"):
        go(tmp_path / "store", Long(docs=Lines(paths=(str(tmp_path / "none*.txt"),))))
    assert not (tmp_path / "store").exists()


# disks ---------------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_refused_with_numbers(paths, disk):
    class Vast(Tally):
        def predict_bytes(self, rows, text_bytes):
            return 3 * 10**9

    with pytest.raises(DiskFull, match=r"0\.0 GB free; expected about 3\.0 GB for what is to do"):
        go(disk / "store", Vast(docs=Lines(paths=paths)))
    assert names_of(disk / "store", "lines") == []


def test_a_disk_that_fills_up_is_named_and_gives_its_room_back(paths, disk):
    docs = Lines(paths=paths)
    free = open_store(str(disk)).free_bytes()
    go(disk / "store", Long(docs=docs))  # before: while the disk is full, whoever writes finds it so
    with pytest.raises(NodeFailed, match=r"large, all: .*the disk is full") as caught:
        go(disk / "store", Large(docs=docs, size=2 << 20), Long(docs=docs))
    assert isinstance(caught.value.__cause__, DiskFull)
    assert open_run(str(disk / "store"), "run")["long"].finished
    assert open_store(str(disk)).free_bytes() > free - 300_000


def test_a_store_that_cannot_be_written_is_named(paths, disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StoreError, match="cannot be written"):
        go(disk / "store", Long(docs=Lines(paths=paths)))


# signals -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_and_the_same_command_goes_on(finished, tmp_path, number, code):
    store = tmp_path / "store"
    changed = {label: {"pause": 1.0} for label in ("docs", "long", "vowels")}
    driver = start(store=store, paths=finished.paths, changed=changed)
    while not list(store.glob("nodes/lines-*/receipts/shards/*")):
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)  # as a terminal does, with Ray's own processes
    else:
        os.kill(driver.pid, number)
    assert f"Stopped: stopped by signal {int(number)}" in finish(driver, code)
    before = times_of(store)
    assert before
    assert not list(store.glob("nodes/*/lease/*"))
    assert not list(store.glob("runs/*/stop-*"))
    assert not list((store / "temporary").iterdir())
    assert not list(store.glob("nodes/tally-*/manifest.json"))
    again = run(whole(finished.paths), name="whole", store=str(store), options=Options(here=True))
    after = times_of(store)
    assert {name: after[name] for name in before} == before
    assert bytes_of(store) == finished.bytes()
    assert again["count"].finished
