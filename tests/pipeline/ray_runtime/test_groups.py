"""Small shards share a block; what each of them becomes, and what goes wrong with it, stays its own."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of, write_corpus
from nodes import Lines, Long, Vowels
from troubled import Dies

from pipeline.contract import Context, Node, Shard, runtime
from pipeline.driver.execute import Options, run
from pipeline.driver.on_ray import OnRay
from pipeline.errors import NodeFailed, Stopped
from pipeline.graph import build
from pipeline.ray_runtime.passes import WORTH_A_BLOCK, Pass, next_group
from pipeline.results.binding import BaseShard
from pipeline.worker.passes import ShardWork
from siftloom.stages import ExactDedup

SHARDS = 30
GROUPS = [7, 5, 4, 3, 2, 2, *[1] * 7]  # what is left over the four tasks in flight


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks(Long):
    """Notes the Ray task of every shard; at the shard `stops` it has the driver stopped and waits for that."""

    noted: str = runtime("")
    stops: str = runtime("")
    driver: int = runtime(0)
    runs: str = runtime("")

    recipe_name = "long"

    def open(self, ctx: Context):
        import ray

        score = super().open(ctx)

        def marked(table):
            name = table["text"][0].as_py().split()[0]
            Path(self.noted, name).write_text(json.dumps(ray.get_runtime_context().get_task_id()))
            if name == self.stops:
                os.kill(self.driver, signal.SIGINT)
                while not list(Path(self.runs).glob("run/stop-*")):
                    time.sleep(0.01)
            return score(table)

        return marked


@pytest.fixture
def paths(tmp_path) -> tuple[str, ...]:
    """Thirty files; the first word of each is its number."""
    found = write_corpus(tmp_path / "in", files=SHARDS, lines=5)
    for number in range(SHARDS):
        path = tmp_path / "in" / f"part-{number:02d}.txt"
        path.write_text(f"{number:02d} is the number of this file\n{path.read_text()}")
    (tmp_path / "marks").mkdir()
    return found


def go(store: Path, *targets: Node):
    return run(build(targets), name="run", store=str(store), options=Options(cpus=2))


def receipts(store: Path, kind: str) -> set[int]:
    return {int(path.stem.rpartition("-")[2]) for path in store.glob(f"nodes/{kind}-*/receipts/rows/*.json")}


def works(*sizes: int) -> deque[ShardWork]:
    shards = [Shard("0123456789ab", f"{i:04d}", 1, size) for i, size in enumerate(sizes)]
    return deque(ShardWork(BaseShard(shard, "nodes/x", "shards", shard.key), (0,)) for shard in shards)


@pytest.mark.parametrize(
    ("sizes", "most", "taken"),
    [
        ([1, 1, 1, 1], 3, 3),
        ([1, 1], 3, 2),
        ([1, 1], 0, 1),  # fewer are left than blocks are in flight
        ([WORTH_A_BLOCK * 2, 1], 3, 1),
        ([1, WORTH_A_BLOCK, 1], 3, 1),
        ([WORTH_A_BLOCK // 2, WORTH_A_BLOCK // 2, 1], 3, 2),
        ([], 3, 0),
    ],
)
def test_a_group_is_bounded_by_number_and_text(sizes, most, taken):
    waiting = works(*sizes)
    assert [work.base.shard.text_bytes for work in next_group(waiting, most)] == sizes[:taken]
    assert [work.base.shard.text_bytes for work in waiting] == sizes[taken:]


@pytest.mark.long
def test_groups_shrink_towards_the_end_and_change_no_byte(local_ray, paths, tmp_path, monkeypatch):
    docs = Lines(paths=paths)
    marks = Marks(docs=docs, noted=str(tmp_path / "marks"))

    before = set(threading.enumerate())

    def groups(store: str) -> list[int]:
        # a dedup reads the receipts of its verdicts once for all shards of a task, and each shard names them
        go(tmp_path / store, Vowels(docs=marks), ExactDedup(docs=docs))
        tasks = Counter(path.read_text() for path in (tmp_path / "marks").iterdir())
        return sorted(tasks.values(), reverse=True)

    assert groups("together") == GROUPS
    monkeypatch.setattr("pipeline.ray_runtime.passes.WORTH_A_BLOCK", 0)
    assert groups("alone") == [1] * SHARDS
    assert bytes_of(tmp_path / "together") == bytes_of(tmp_path / "alone")
    end = time.monotonic() + 30  # a thread that is told to end takes a moment
    while left := [thread for thread in threading.enumerate() if thread.name == "Prefetcher" and thread not in before]:
        assert time.monotonic() < end, f"threads that a pass has left: {left}"
        time.sleep(0.05)


@pytest.mark.long
def test_a_pass_of_more_blocks_than_one_pipeline_takes_is_several(local_ray, paths, tmp_path, monkeypatch):
    pipelines, whole = [], Pass._pipeline

    def noted(self, groups, retries, errored):
        pipelines.append(groups)
        return whole(self, groups, retries, errored)

    monkeypatch.setattr(Pass, "_pipeline", noted)
    monkeypatch.setattr("pipeline.ray_runtime.passes.BLOCKS_A_PIPELINE", 5)
    go(tmp_path / "store", Vowels(docs=Lines(paths=paths)))
    assert [[len(group) for group in groups] for groups in pipelines] == [GROUPS[:5], GROUPS[5:10], GROUPS[10:]]
    assert receipts(tmp_path / "store", "vowels") == set(range(SHARDS))


@pytest.mark.long
def test_the_shard_of_a_group_that_kills_its_workers_is_named_and_all_others_are_done(
    local_ray, paths, tmp_path, monkeypatch
):
    passes, shards = [], OnRay.shards
    monkeypatch.setattr(OnRay, "shards", lambda self, *pass_: passes.append(pass_) or shards(self, *pass_))
    (tmp_path / "graves").mkdir()
    with (tmp_path / "in" / "part-02.txt").open("a") as file:
        file.write("a line with poison in it\n")
    dying = Dies(docs=Lines(paths=paths), graves=str(tmp_path / "graves"), times=10**6)
    with pytest.raises(NodeFailed, match=r"long, \w{8}-0002: .*died"):
        go(tmp_path / "store", Vowels(docs=dying))
    others = set(range(SHARDS)) - {2}
    assert receipts(tmp_path / "store", "long") == receipts(tmp_path / "store", "vowels") == others
    assert len(list((tmp_path / "graves").iterdir())) == 5  # once in its group, four times alone
    assert len(passes) == 1  # which has taken the others of its group up again itself


@pytest.mark.long
def test_a_stop_is_seen_between_two_shards_of_a_group(local_ray, paths, tmp_path):
    store, marks = tmp_path / "store", str(tmp_path / "marks")

    def graph(stops: str = ""):
        docs = Lines(paths=paths)
        return Marks(docs=docs, noted=marks, stops=stops, driver=os.getpid(), runs=str(store / "runs"))

    with pytest.raises(Stopped):
        go(store, graph("02"))
    done = receipts(store, "long")
    assert {0, 1, 2} <= done
    assert not done & {3, 4, 5, 6}  # the rest of its group
    go(store, graph())
    assert receipts(store, "long") == set(range(SHARDS))
