"""Checkpoints in an object store: a machine fetches each part once for all its processes, and keeps none of it."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import obstore
import pytest

from pipeline.files.open_store import open_store
from stages.training.checkpoint import Saver
from tests.pipeline import s3

PARTS = {"a.safetensors": os.urandom(1000), "b.safetensors": os.urandom(2000)}


def write(folder):
    for name, data in PARTS.items():
        (folder / name).write_bytes(data)
    return list(PARTS)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in (s3.CREDENTIALS | {"SIFTLOOM_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    with s3.server() as endpoint:
        yield open_store(s3.bucket(endpoint, "checkpoints"))


def test_eight_processes_of_a_machine_read_each_part_once(scratch, tmp_path, monkeypatch):
    Saver(scratch).save(3, write, {"step": 3})
    fetched, real = [], obstore.get
    monkeypatch.setattr(obstore, "get", lambda store, name: (fetched.append(name), real(store, name))[1])
    with ThreadPoolExecutor(8) as pool, ExitStack() as stack:
        savers = [Saver(scratch) for _ in range(8)]
        found = list(pool.map(lambda saver: stack.enter_context(saver.restore()), savers))
        for checkpoint in found:
            assert {name: (checkpoint.folder / name).read_bytes() for name in checkpoint.files} == PARTS
    assert sorted(name for name in fetched if name.endswith(".safetensors")) == [
        f"checkpoints/step_0000000003/{name}" for name in PARTS
    ]
    left = [name for _, _, names in os.walk(tmp_path / "cache" / "objects") for name in names if name != "fetching"]
    assert left == []


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_a_damaged_part_is_found_and_the_checkpoint_before_is_taken(scratch, change):
    saver = Saver(scratch)
    for step in (3, 6):
        saver.save(step, write, {"step": step})
    part = "checkpoints/step_0000000006/b.safetensors"
    if change == "gone":
        scratch.delete(part)
    else:
        scratch.write(part, bytes(2000))
    with Saver(scratch).restore() as checkpoint:
        assert checkpoint is not None
        assert checkpoint.rest == {"step": 3}
    assert saver.whole() == ["checkpoints/step_0000000003"]
