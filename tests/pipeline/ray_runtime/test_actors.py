"""Phases that hold what they have: actors, devices, rows that flow to them, and what is left when a pass ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import on_devices
import pytest
import ray
from corpus import bytes_of, write_corpus
from model_nodes import Asks, Sizes, marks_of
from nodes import Lines, Long, Vowels

from pipeline.contract import Node, Resources
from pipeline.driver.execute import Options, run
from pipeline.errors import NodeFailed
from pipeline.files.cache import private_folder
from pipeline.graph import build
from pipeline.ray_runtime.operators import operators
from pipeline.ray_runtime.passes import _cpus_of
from pipeline.results.binding import Binding, Place
from pipeline.worker.passes import PassPhase

ROWS = 40
ACTORS = Resources(actors=(1, 2))
HERE, ON_RAY = Options(here=True), Options(cpus=2)


@pytest.fixture
def paths(tmp_path) -> tuple[str, ...]:
    return write_corpus(tmp_path / "in", files=6, lines=ROWS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, str]:
    """What the chain leaves without Ray; that tasks of Ray leave the same is in `tests/pipeline/driver/test_here`."""
    folder = tmp_path_factory.mktemp("plain")
    go(folder / "store", chain(write_corpus(folder / "in", files=6, lines=ROWS)), options=HERE)
    return bytes_of(folder / "store")


@pytest.fixture
def marks(tmp_path) -> str:
    (tmp_path / "marks").mkdir()
    return str(tmp_path / "marks")


def chain(paths: tuple[str, ...], **fields) -> Node:
    return Vowels(docs=Sizes(docs=Long(docs=Lines(paths=paths)), batch_rows=5, **fields))


def go(store: Path, *targets: Node, options: Options = ON_RAY):
    return run(build(targets), name="run", store=str(store), options=options)


def cut(*asks: Resources) -> list[tuple[str, list[int]]]:
    docs = Lines(paths=("a",))
    phases = []
    for number, each in enumerate(asks):
        place = Place(Sizes(docs=docs, asks=each), f"{number:064x}")
        phases.append(PassPhase(Binding("store", place, {}, None), "rows", {}, {}))
    return [(o.name, list(o.part)) for o in operators(phases, [f"n{i}" for i in range(len(asks))])]


@pytest.mark.parametrize(
    ("asks", "found"),
    [
        ([Resources()] * 3, [("n0+n1+n2", [0, 1, 2])]),
        ([Resources(), ACTORS, Resources(), Resources()], [("n0", [0]), ("n1", [1]), ("n2+n3", [2, 3])]),
        ([Resources(gpus=1)], [("read n0", []), ("n0", [0])]),
        ([ACTORS, ACTORS], [("read n0", []), ("n0", [0]), ("n1", [1])]),
        ([Resources(), Resources(cpus=2)], [("n0", [0]), ("n1", [1])]),
        ([Resources(), Resources(memory=1)], [("n0", [0]), ("n1", [1])]),
    ],
)
def test_a_pass_is_cut_where_resources_differ_and_what_holds_them_stands_alone(asks, found):
    assert cut(*asks) == found


@pytest.mark.long
def test_actors_change_no_byte_and_open_once_each(local_ray, plain, paths, marks, tmp_path):
    go(tmp_path / "actors", chain(paths, asks=ACTORS, marks=marks))
    assert bytes_of(tmp_path / "actors") == plain
    opened = [pid for pid, *_ in marks_of(marks, "open")]
    assert len(opened) == len(set(opened)) <= 2
    assert {pid for *_, pid in marks_of(marks, "rows")} <= set(opened)


@pytest.mark.long
def test_a_phase_that_starts_from_side_cars_is_read_for(local_ray, plain, paths, tmp_path):
    go(tmp_path / "store", Long(docs=Lines(paths=paths)), options=HERE)
    go(tmp_path / "store", chain(paths, asks=ACTORS))
    assert bytes_of(tmp_path / "store") == plain


@pytest.mark.long
def test_a_killed_actor_loses_one_piece_and_no_byte_tells_of_it(local_ray, marks, tmp_path):
    paths = write_corpus(tmp_path / "in", files=1, lines=200)
    node = Sizes(docs=Lines(paths=paths), batch_rows=5, commit_rows=20, marks=marks, dies_at=119, asks=ACTORS)
    go(tmp_path / "killed", node)
    assert Path(marks, "dead").exists()
    go(tmp_path / "whole", Sizes(docs=Lines(paths=paths), batch_rows=5), options=HERE)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")
    rows = [(int(first), int(count)) for first, count, _ in marks_of(marks, "rows")]
    killed = next(
        pid for first, _, pid in marks_of(marks, "rows") if first == "0"
    )  # rows behind its last piece are done twice
    assert not list(private_folder().glob(f"processes/*_{killed}_*")), "a folder that its worker left"
    again = sum(count for _, count in rows) - 200
    assert 0 < again <= 20
    assert all(first >= 100 for first, _ in rows if [f for f, _ in rows].count(first) > 1)


@pytest.mark.long
def test_a_shard_that_kills_every_actor_is_named_with_the_cause(local_ray, paths, marks, tmp_path):
    longer = tmp_path / "in" / "part-02.txt"
    longer.write_text(longer.read_text() + "one more line of text\n" * 10)
    docs = Long(docs=Lines(paths=paths))
    node = Sizes(docs=docs, marks=marks, dies_at=ROWS + 5, dies_always=True, asks=Resources(actors=(1, 1)))
    with pytest.raises(NodeFailed, match=r"sizes, \w{8}-0002: .*(died|killed)") as found:
        go(tmp_path / "store", node)
    assert "ray::" not in str(found.value)
    done = {kind: len(list((tmp_path / "store").glob(f"nodes/{kind}-*/receipts/rows/*"))) for kind in ("long", "sizes")}
    assert done == {"long": 6, "sizes": 5}


@pytest.mark.long
def test_what_cannot_be_loaded_is_named_once_and_no_row_is_lost(local_ray, plain, paths, tmp_path):
    with pytest.raises(NodeFailed, match=r"sizes, load: the weights are not there") as found:
        go(tmp_path / "store", chain(paths, asks=ACTORS, unloadable=True))
    assert "tasks failed" not in str(found.value)
    go(tmp_path / "store", chain(paths, asks=ACTORS))
    assert bytes_of(tmp_path / "store") == plain


@pytest.mark.long
def test_gpus_where_there_are_none_are_named(local_ray, paths, tmp_path):
    with pytest.raises(NodeFailed, match=r"it asks for 1 GPUs a worker; expected at most the 0 of this machine"):
        go(tmp_path / "store", chain(paths, asks=Resources(gpus=1)))


@pytest.mark.long
def test_tasks_hold_what_their_phases_declare(local_ray, paths, marks, tmp_path):
    docs = Lines(paths=paths)
    asks = Asks(docs=docs)
    row = Sizes(docs=docs, batch_rows=5, marks=marks, asks=Resources(cpus=2, memory=50_000_000))
    found = go(tmp_path / "store", row, asks)
    held = {"CPU": 2.0, "memory": 50_000_000.0}
    assert [json.loads(resources) for *_, resources in marks_of(marks, "open")] == [held] * len(paths)
    assert found["asks"].receipt("ask", "all").facts == {"held": held, "threads": 2}


@pytest.mark.parametrize(
    ("asks", "cpus", "shares"),
    [
        ([Resources(), ACTORS], 2, (1, 1)), ([ACTORS], 2, (1, 1)), ([Resources(), ACTORS, ACTORS], 2, (1, 0.5)),
        ([ACTORS, ACTORS], 1, (0.5, 0.25)), ([Resources(cpus=2), ACTORS], 2, (1, 1)), ([Resources(cpus=2)], 2, (2, 0)),
    ],
)  # fmt: skip
def test_actors_leave_room_for_the_tasks_that_read_for_them(monkeypatch, asks, cpus, shares):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus})
    docs = Lines(paths=("a",))
    phases = [
        PassPhase(Binding("store", Place(Sizes(docs=docs, asks=each), f"{i:064x}"), {}, None), "rows", {}, {})
        for i, each in enumerate(asks)
    ]
    assert _cpus_of(operators(phases, ["n"] * len(asks))) == shares


@pytest.mark.long
def test_one_cpu_is_enough_for_actors_and_the_tasks_that_read_for_them(paths, marks, tmp_path):
    asked = {
        "paths": paths, "store": str(tmp_path / "one"), "marks": marks, "cpus": 1, "asks": {"actors": [1, 1]},
        "alone": True,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, on_devices.__file__, json.dumps(asked)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_devices(paths, marks, tmp_path):
    """One device per process for its life, what was declared is what Ray was asked for, nothing is left."""
    asked = {
        "paths": paths, "store": str(tmp_path / "gpus"), "marks": marks, "cpus": 2,
        "asks": {"cpus": 0.5, "gpus": 1, "memory": 50_000_000, "actors": [2, 2]},
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, on_devices.__file__, json.dumps(asked)], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert "core_worker" not in done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    opened = marks_of(marks, "open")
    assert len({pid for pid, *_ in opened}) == len(opened) == 2
    assert sorted(device for _, device, _ in opened) == ["0", "1"]
    for *_, resources in opened:
        assert json.loads(resources) == {"CPU": 0.5, "GPU": 1.0, "memory": 50_000_000.0}
    assert {pid for *_, pid in marks_of(marks, "rows")} <= {pid for pid, *_ in opened}
    assert seen["left"] == []
    (stats,) = seen["stats"]
    assert all(f"MapBatches({name})" in stats for name in ("plain", "model", "last"))


@pytest.mark.long
def test_a_shard_larger_than_rays_object_store_goes_through_it(tmp_path, marks):
    """Ray keeps what does not fit in files; a pass goes on, slower."""
    (tmp_path / "large.txt").write_text(("a line of text " * 660 + "\n") * 12_000)
    asked = {
        "paths": [str(tmp_path / "large.txt")], "store": str(tmp_path / "store"), "marks": marks, "cpus": 2,
        "asks": {"actors": [1, 1]}, "batch_rows": 1000, "object_store": 80_000_000, "alone": True,
    }  # fmt: skip
    assert (tmp_path / "large.txt").stat().st_size > 1.4 * asked["object_store"]
    done = subprocess.run(
        [sys.executable, on_devices.__file__, json.dumps(asked)], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert sum(int(count) for _, count, _ in marks_of(marks, "rows")) == 12_000
