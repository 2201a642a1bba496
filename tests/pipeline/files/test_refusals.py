"""What a machine refuses, for real, whatever library meets it."""

from __future__ import annotations

import errno
import os
import resource
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DiskFull, StoreError, TooLittleMemory, UserError
from pipeline.files.objects import LocalStore
from pipeline.files.refusals import named


def _numpy(path):
    with open(path, "wb") as file:
        np.zeros(2_000_000, np.uint8).tofile(file)


def _parquet(path):
    pq.write_table(pa.table({"a": np.random.default_rng(0).integers(0, 2**62, 200_000)}), path)


def _safetensors(path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(500_000, np.float32)}, path)


@pytest.mark.parametrize("write", [_numpy, _parquet, _safetensors])
def test_a_disk_that_is_full_has_its_name_whatever_library_meets_it(write, disk):
    with pytest.raises(Exception, match=r".") as caught:
        write(disk / "file")
    found = named(caught.value, str(disk))
    assert isinstance(found, DiskFull)
    assert str(found).startswith(f"store {disk}: the disk is full (")
    assert "run the same command again: what is finished is kept" in str(found)


def test_a_disk_with_no_room_for_one_more_file_says_so(small_disk):
    store = LocalStore(str(small_disk(1, "nr_inodes=5") / "store"))
    with pytest.raises(DiskFull, match=r"the disk is full \(room for \d+ more files\)"):
        _ = [store.write(f"{number}", b"1") for number in range(9)]


def test_what_torch_says_of_a_full_disk_is_named():
    said = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 534")  # of `torch.save`
    assert isinstance(named(said, "/"), DiskFull)


def test_a_quota_is_named_by_the_error_below():
    error = RuntimeError("a worker failed")
    error.__cause__ = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert "the quota of this user is used up" in str(named(error, "/"))
    assert named(ValueError("no number"), "/") is None
    assert named(StoreError("store", "named already"), "/") is None


def test_what_is_in_the_way_is_named(tmp_path):
    store = LocalStore(str(tmp_path))
    (tmp_path / "temporary").write_text("x")
    with pytest.raises(StoreError, match=rf"^{tmp_path}/temporary: something else is in the way; expected a folder"):
        store.write("a", b"1")
    (tmp_path / "temporary").unlink()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=rf"^{tmp_path}/file: something else is in the way; expected a folder"):
        store.write("file/below/it", b"1")
    (tmp_path / "folder").mkdir()
    for work in (lambda: store.read("folder"), lambda: store.write("folder", b"1")):
        with pytest.raises(StoreError, match=rf"^{tmp_path}/folder: something else is in the way; expected a file"):
            work()


def test_a_path_that_is_too_long_is_named(tmp_path):
    for work in (lambda store: store.read("a"), lambda store: store.write("a", b"1")):
        with pytest.raises(StoreError, match="a path that is too long"):
            work(LocalStore(str(tmp_path / ("x" * 300))))


def test_a_limit_of_open_files_is_named(tmp_path):
    before, opened = resource.getrlimit(resource.RLIMIT_NOFILE), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            opened.extend(open(tmp_path / "a", "ab") for _ in range(1000))
        found = named(caught.value, str(tmp_path))
    finally:
        for file in opened:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert isinstance(found, UserError)
    assert "too many open files (the limit of a process is" in str(found)


def test_a_limit_of_memory_is_named():
    with pytest.raises(MemoryError) as caught:
        np.zeros(2**60, np.uint8)
    assert isinstance(named(caught.value, "/"), TooLittleMemory)


def test_a_full_folder_for_temporary_files_is_not_blamed_on_the_store(disk, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
    found = named(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), str(tmp_path))
    assert str(found).startswith(f"folder {disk}: the disk is full (0 B free of ")
