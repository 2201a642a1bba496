"""Packed rows that lie in an object store: a reader anywhere finds them, and fetches what it needs."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract import too_large
from pipeline.files import cache
from pipeline.files.open_store import file_on_disk, open_store
from pipeline.files.stored import StoredFile
from stages.tokens.packed_rows import PackedRows
from tests.pipeline import s3

SHARDS, ROWS, LENGTH = 3, 20, 16


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The same rows on the disk and in an object store."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in (s3.CREDENTIALS | {"SIFTLOOM_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    draw, disk, remote = np.random.default_rng(0), [], []
    with s3.server() as endpoint:
        store = open_store(s3.bucket(endpoint, "rows"))
        for shard in range(SHARDS):
            draw.integers(1, 50, (ROWS, LENGTH + 1)).astype("<u2").tofile(tmp_path / f"{shard}.bin")
            columns = {"tokens": pa.array([LENGTH + 1] * ROWS, pa.int32()),
                       "doc_start": pa.array([[0, 5]] * ROWS, pa.list_(pa.int32())),
                       "level": pa.array(draw.random(ROWS)), "doc_id": pa.array([[f"{shard}"]] * ROWS)}  # fmt: skip
            pq.write_table(pa.table(columns), tmp_path / f"{shard}.rows.parquet")
            paths = [tmp_path / f"{shard}{ending}" for ending in (".bin", ".rows.parquet")]
            for path in paths:
                store.upload(path, path.name)
            disk.append((*map(file_on_disk, paths), ROWS))
            remote.append((*(StoredFile(store, path.name, path.stat().st_size) for path in paths), ROWS))
        yield [PackedRows(tuple(files), LENGTH, "uint16", 0, 50) for files in (disk, remote)]


def copied(folder: Path) -> list[str]:
    return sorted(name for _, _, names in os.walk(folder / "objects") for name in names if name != "fetching")


@pytest.mark.parametrize("by_range", [False, True])
def test_rows_are_those_of_the_disk_and_tokens_alone_are_copied(both, tmp_path, by_range):
    disk, remote = both
    rows = np.random.default_rng(1).permutation(SHARDS * ROWS)
    there = pickle.loads(pickle.dumps(replace(remote, by_range=by_range)))
    assert there.documents(25) == ["1"]
    assert np.array_equal(there.means("level", rows), disk.means("level", rows))
    assert copied(tmp_path / "cache") == []  # what a driver asks
    for found, wanted in zip(there.take(rows), disk.take(rows), strict=True):
        assert np.array_equal(found, wanted)
    assert copied(tmp_path / "cache") == ([] if by_range else ["0.bin", "1.bin", "2.bin"])


def test_files_that_a_cache_has_no_room_for_are_too_large(both, monkeypatch):
    disk, remote = ([file for file, _, _ in rows.files] for rows in both)
    monkeypatch.setattr(cache, "LIMIT", 2 * sum(file.size for file in remote))
    assert not too_large(remote)
    monkeypatch.setattr(cache, "LIMIT", cache.LIMIT - 2)
    assert too_large(remote)
    assert not too_large(disk)
