"""Stores: whole objects or none, one winner of a race, named errors on a full or closed disk."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import s3

from pipeline.errors import DiskFull, StoreError
from pipeline.files.objects import LocalStore, Store, sha256_of
from pipeline.files.open_store import open_store

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def s3_server():
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    with s3.server() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path, monkeypatch) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = f"bucket-{tmp_path.name.replace('_', '-').lower()[:40]}"
    return open_store(s3.bucket(request.getfixturevalue("s3_server"), name))


def test_an_object_is_read_back_whole(store, tmp_path):
    assert store.read("a/b/c.json") is None
    assert store.size("a/b/c.json") is None
    store.write("a/b/c.json", b"first")
    store.write("a/b/c.json", b"second!")
    assert store.read("a/b/c.json") == b"second!"
    assert store.size("a/b/c.json") == 7
    assert store.local("a/b/c.json").read_bytes() == b"second!"


def test_a_published_file_moves_and_a_link_is_a_second_name(store, tmp_path):
    path = tmp_path / "made"
    path.write_bytes(b"x" * 100_000)
    digest = sha256_of(path)
    store.publish(path, "nodes/n/data/p/k.bin")
    assert not path.exists()
    store.link("nodes/n/data/p/k.bin", "nodes/m/data/p/k.bin")
    store.delete("nodes/n")
    assert store.read("nodes/n/data/p/k.bin") is None
    assert sha256_of(store.local("nodes/m/data/p/k.bin")) == digest


def test_create_has_one_winner(store):
    assert store.create("lease", b"one")
    assert not store.create("lease", b"two")
    assert store.read("lease") == b"one"
    store.delete("lease")
    assert store.create("lease", b"three")


def test_names_and_sizes_follow_folders(store):
    for name in ("d/b.json", "d/a.json", "d/e/f.bin"):
        store.write(name, name.encode())
    assert store.names("d") == ["a.json", "b.json", "e"]
    assert store.sizes("d") == {"a.json": 8, "b.json": 8, "e/f.bin": 9}
    assert store.names("nothing") == []
    assert store.sizes("nothing") == {}
    store.delete("d")
    store.delete("d")
    assert store.names("d") == []


def test_a_store_travels_to_workers(store):
    store.write("x", b"1")
    assert pickle.loads(pickle.dumps(store)).read("x") == b"1"


def test_a_uri_opens_what_it_names(store):
    store.write("folder/x", b"1")
    assert open_store(store.uri("folder")).read("x") == b"1"


def test_another_copy_of_equal_length_is_fetched_again(store, tmp_path):
    store.write("data", b"old")
    assert store.local("data").read_bytes() == b"old"
    store.write("data", b"new")
    assert open_store(store.address).local("data").read_bytes() == b"new"


def test_a_place_that_nothing_opens_is_a_named_error():
    with pytest.raises(StoreError, match="nowhere://x"):
        open_store("nowhere://x").read("a")


# what only a file system can show ------------------------------------------------------------------------------------


def test_readers_never_see_half_an_object(tmp_path):
    store = LocalStore(str(tmp_path))
    contents = {bytes([65 + i]) * 300_000 for i in range(4)}
    store.write("x", next(iter(contents)))
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(store.read("x"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        for content in contents:
            store.write("x", content)
    stop.set()
    reader.join()
    assert seen <= contents


def test_nothing_is_left_when_a_write_fails(tmp_path, monkeypatch):
    store = LocalStore(str(tmp_path))
    store.write("x", b"old")

    def no_space(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(DiskFull, match=str(tmp_path)):
        store.write("x", b"new")
    monkeypatch.undo()
    assert store.read("x") == b"old"
    assert store.sizes("temporary") == {}


RACER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pipeline.files.objects import LocalStore
store = LocalStore(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(store.create("nodes/n/lease", sys.argv[3].encode()))
"""


def test_fifty_processes_race_for_a_name(tmp_path):
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(ROOT), str(tmp_path), str(number)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(50)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:  # all are loaded and wait for this line
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [number for number, racer in enumerate(racers) if racer.communicate()[0].strip() == "True"]
    assert len(won) == 1
    assert (tmp_path / "nodes/n/lease").read_text() == str(won[0])


def test_a_full_disk_is_a_named_error_and_leaves_room_as_it_was(disk):
    store = LocalStore(str(disk / "store"))
    store.write("small", b"1")
    free = store.free_bytes()
    with pytest.raises(DiskFull, match="the disk is full"):
        store.write("large", b"x" * 2_000_000)
    assert store.read("large") is None
    assert store.free_bytes() == free
    assert store.read("small") == b"1"


def test_a_read_only_disk_is_a_named_error(disk):
    store = LocalStore(str(disk / "store"))
    store.write("x", b"1")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for attempt in (lambda: store.write("y", b"1"), lambda: store.create("z", b"1"), lambda: store.link("x", "w")):
        with pytest.raises(StoreError, match="cannot be written"):
            attempt()
    assert store.read("x") == b"1"


def test_a_store_below_a_file_is_a_named_error(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for root in (tmp_path / "notes.txt", tmp_path / "notes.txt" / "store"):
        store = LocalStore(str(root))
        assert store.read("x") is None
        for attempt in (lambda store=store: store.write("y", b"1"), lambda store=store: store.create("z", b"1")):
            said = f"^{tmp_path / 'notes.txt'}: something else is in the way; expected a folder"
            with pytest.raises(StoreError, match=said):
                attempt()
