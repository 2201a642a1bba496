"""A training whose rows, start and checkpoints lie in an object store: the bits of one on a disk, in processes that
find them there.
"""

import os
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from pipeline.files.open_store import file_on_disk, open_store
from pipeline.files.stored import StoredFile
from stages.training.checkpoint import MODEL, Saver
from stages.training.worker import train
from tests.pipeline import s3
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture


@pytest.mark.parametrize("by_range", [pytest.param(False, marks=pytest.mark.long), True])
def test_two_processes_train_from_a_store_alone(job, tmp_path, monkeypatch, by_range):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in (s3.CREDENTIALS | {"SIFTLOOM_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    job = changed(job, steps=6)
    train(at(job, tmp_path / "before"), Saver(str(tmp_path / "before")), 0, 1)
    given = tmp_path / "before" / MODEL
    train(at(job, tmp_path / "disk", start=file_on_disk(given)), Saver(str(tmp_path / "disk")), 0, 1)
    with s3.server() as endpoint:
        store = open_store(s3.bucket(endpoint, f"training-{int(by_range)}"))
        [source] = job.sources

        def moved(file: StoredFile) -> StoredFile:
            store.publish(file.local(), file.name)
            return StoredFile(store, file.name)

        files = tuple((moved(tokens), moved(rows), count) for tokens, rows, count in source.rows.files)
        there = replace(source, rows=replace(source.rows, files=files, by_range=by_range))
        job = changed(job, sources=(there,), start=moved(file_on_disk(given)))
        scratch = store.below("scratch")
        finish(start(job, tmp_path / "started", 2, scratch=scratch))
        found = Saver(scratch).result()
        assert found is not None
        store.fetch(f"scratch/{MODEL}", tmp_path / MODEL)
    assert_same_bits(found | {"model": load_file(tmp_path / MODEL)}, result(tmp_path / "disk"))
    copied = [name for _, _, names in os.walk(tmp_path / "cache" / "objects") for name in names if name != "fetching"]
    assert sorted(copied) == sorted([MODEL] + ["a.bin"] * (not by_range))
