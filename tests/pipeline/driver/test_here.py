"""Runs without Ray: the same bytes, what a plain process cannot do, kills and signals, and when it is chosen."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of, whole, write_corpus
from nodes import Lines, Long, Tally, Vowels
from troubled import Dies

from pipeline.contract import Context, Node, Resources, Result, RowPhase, TaskPhase, one, runtime
from pipeline.driver import drift
from pipeline.driver.choice import START_SECONDS, TEXT_PER_SECOND, is_here, predicted
from pipeline.driver.execute import Driver, Options, run
from pipeline.driver.prepare import digest_sources
from pipeline.errors import DriftError, NodeFailed, Stopped, UserError
from pipeline.graph import build
from pipeline.progress.watcher import Notice

HERE = Options(here=True)
FOLDER = Path(__file__).parents[1]


class Notices:
    """What a driver has told."""

    def __init__(self):
        self.texts: list[str] = []

    def notify(self, event):
        self.texts += [event.text] if isinstance(event, Notice) else []


@dataclass(frozen=True, kw_only=True, eq=False)
class Wide(Long):
    """Wants a device."""

    def phases(self):
        return (RowPhase(open=self.open, needs=("text",), resources=Resources(gpus=0.5)),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Alone(Tally):
    """Writes which process it ran in, and fails where it is told to."""

    fails: bool = False

    def phases(self):
        return (TaskPhase(name="count", keys=one, run=self.mark, fresh=True),)

    def mark(self, ctx: Context, key: str) -> Result:
        if self.fails:
            raise ZeroDivisionError("on purpose")
        return Result(facts={"pid": os.getpid(), "parent": os.getppid()})


@dataclass(frozen=True, kw_only=True, eq=False)
class Team(Tally):
    """Trains with so many workers."""

    workers: int = 2

    def phases(self):
        return (TaskPhase(name="count", keys=one, run=lambda ctx, key: Result(), place="driver", workers=self.workers),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Interrupts(Long):
    """Asks its own process to stop, at a shard that holds a word; goes on when a worker may know of it."""

    runs: str = runtime("")

    recipe_name = "long"

    def open(self, ctx: Context):
        score = super().open(ctx)

        def interrupted(table):
            if self.runs and any("stop here" in text for text in table["text"].to_pylist()):
                os.kill(os.getpid(), signal.SIGINT)
                while not ctx.stopping():
                    pass
            return score(table)

        return interrupted


@pytest.fixture
def paths(tmp_path):
    return write_corpus(tmp_path / "in", files=4, lines=12)


def test_a_run_without_ray_leaves_the_bytes_of_a_run_on_ray(local_ray, tmp_path):
    graph = whole(write_corpus(tmp_path / "in"))
    for store, options in (("here", HERE), ("ray", Options(cpus=2))):
        run(graph, name="whole", store=str(tmp_path / store), options=options)
    found = bytes_of(tmp_path / "here")
    assert len(found) > 80
    assert found == bytes_of(tmp_path / "ray")


def test_it_starts_no_ray_and_leaves_no_note(tmp_path, paths):
    program = (
        "import sys\n"
        f"sys.path[:0] = [{str(FOLDER.parents[1])!r}, {str(FOLDER)!r}]\n"
        "from corpus import whole\n"
        "from pipeline.driver.execute import Options, run\n"
        f"run(whole({paths!r}), name='whole', store={str(tmp_path / 'store')!r}, options=Options(here=True))\n"
        "assert 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {path.name for path in (tmp_path / "store" / "runs" / "whole").iterdir()} == {"lease", "run.json"}


@pytest.mark.long
def test_a_task_that_wants_a_process_of_its_own_gets_one(tmp_path, paths):
    docs = Lines(paths=paths)
    found = run(build([node := Alone(docs=docs)]), name="own", store=str(tmp_path / "store"), options=HERE)
    facts = found[node].receipt("count", "all").facts
    assert facts["parent"] == os.getpid() != facts["pid"]
    with pytest.raises(NodeFailed, match="on purpose"):
        run(build([Alone(docs=docs, fails=True)]), name="own", store=str(tmp_path / "store"), options=HERE)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (Wide, "long, rows: it asks for 0.5 GPUs; expected work that one process does on CPUs"),
        (Team, "tally, count: it asks for a group of 2 workers; expected work that one process does on CPUs"),
    ],
)
def test_what_one_process_cannot_do_is_refused_by_name(node, told, tmp_path, paths):
    wide = node(docs=Lines(paths=paths))
    names = {"docs": wide.docs, told.partition(",")[0]: wide}
    with pytest.raises(UserError, match=f"{told}.* Next: leave out --here"):
        run(build([wide], names), name="no", store=str(tmp_path / "store"), options=HERE)
    assert not (tmp_path / "store" / "runs").exists()


def test_the_shard_that_killed_the_process_is_told_at_the_next_start(tmp_path, paths):
    with (tmp_path / "in" / "part-02.txt").open("a") as file:
        file.write("a line with poison in it\n")
    (tmp_path / "graves").mkdir()

    def graph() -> Node:
        dying = Dies(docs=Lines(paths=paths), graves=str(tmp_path / "graves"), times=1)
        return Vowels(docs=dying)

    child = os.fork()
    if child == 0:
        run(build([graph()]), name="run", store=str(tmp_path / "store"), options=HERE)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told, target = Notices(), graph()
    found = run(build([target]), name="run", store=str(tmp_path / "store"), options=HERE, watcher=told)
    (line,) = [text for text in told.texts if "has died over it" in text]
    assert line.startswith("long+vowels, ")
    shard = line.partition(", ")[2].partition(":")[0]
    assert shard.endswith("-0002")
    assert "--on-ray" in line
    assert found[target].finished
    again = Notices()
    run(build([target]), name="run", store=str(tmp_path / "store"), options=HERE, watcher=again)
    assert not again.texts


def test_the_first_signal_drains_and_the_next_run_goes_on(tmp_path, paths):
    with (tmp_path / "in" / "part-01.txt").open("a") as file:
        file.write("stop here, please\n")
    store = tmp_path / "store"
    with pytest.raises(Stopped):
        run(build([Interrupts(docs=Lines(paths=paths), runs="x")]), name="run", store=str(store), options=HERE)
    done = sorted(json.loads(path.read_text())["key"] for path in store.glob("nodes/long-*/receipts/rows/*.json"))
    assert [key[-4:] for key in done] == ["0000", "0001"]
    assert not list((store / "runs" / "run").glob("stop-*"))
    assert not list((store / "runs" / "run").glob("at-work-*"))
    run(build([Interrupts(docs=Lines(paths=paths))]), name="run", store=str(store), options=HERE)
    assert len(list(store.glob("nodes/long-*/receipts/rows/*.json"))) == 4


def test_a_process_that_read_older_code_does_not_do_the_work(tmp_path, paths, monkeypatch):
    monkeypatch.setattr(drift, "_began_with", {Path(paths[0]): None})
    for _ in range(2):
        with pytest.raises(DriftError, match=r"code have changed since it read them.* Next: start Python anew"):
            run(build([Lines(paths=paths)]), name="run", store=str(tmp_path / "store"), options=HERE)


@pytest.mark.parametrize(("documents", "here"), [(None, False), (10, True), (10**6, False)])
def test_little_work_is_done_here_where_the_driver_may_choose(documents, here, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "large.txt").write_text("some words\n" * int(START_SECONDS * TEXT_PER_SECOND / 11))
    target = Long(docs=Lines(paths=(str(tmp_path / "large.txt"),)))
    asked = Options(here=None, documents=documents)
    driver, told = Driver(build([target]), "run", str(tmp_path / "store"), asked, None, None), []
    digest_sources(driver.state, None)
    assert is_here(asked, driver.state, driver.finished, on_ray=False, tell=told.append) == here
    assert ["this process does it" in text for text in told] == [True] * here
    assert not is_here(asked, driver.state, driver.finished, on_ray=True, tell=told.append)
    assert is_here(HERE, driver.state, driver.finished, on_ray=True, tell=told.append)
    assert predicted(driver.state, driver.finished, documents) is not None
    for held in (Wide(docs=target.docs), Team(docs=target.docs, workers=1)):
        state = Driver(build([held]), "run", str(tmp_path / "store"), asked, None, None).state
        digest_sources(state, None)
        assert predicted(state, lambda node: False, documents) is None
