"""An object store, here an S3 server in this process: whole objects or none, one owner of a name, private copies."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import obstore
import pytest
import s3

from pipeline.contract import Result
from pipeline.errors import DiskFull, SourceError, StoreError, UserError
from pipeline.files import cache
from pipeline.files.address import Address
from pipeline.files.objects import LocalStore, Store, sha256_of
from pipeline.files.open_store import mark_store, open_store, require_store
from pipeline.files.secrets import masked
from pipeline.files.sources import digest_file, expand, open_stream, require_unchanged
from pipeline.results.lease import Leases
from pipeline.results.receipts import commit, read_receipt

pytest.importorskip("moto.server", reason="moto[server] is not installed")
NODE = "nodes/n-0123456789ab"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def endpoint():
    with pytest.MonkeyPatch.context() as patch, s3.server() as running:
        for name, value in s3.CREDENTIALS.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def store(endpoint, tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("SIFTLOOM_CACHE", str(tmp_path / "cache"))
    return open_store(s3.bucket(endpoint, f"bucket-{next(NUMBERS)}"))


@pytest.fixture
def requests(monkeypatch) -> Counter[str]:
    """Requests to the object store, by kind."""
    seen: Counter[str] = Counter()
    for kind in ("get", "put", "head", "list", "list_with_delimiter", "delete", "copy", "get_range"):
        call = getattr(obstore, kind)
        monkeypatch.setattr(obstore, kind, lambda *a, kind=kind, call=call, **k: seen.update([kind]) or call(*a, **k))
    return seen


def uri_of(store: Store, name: str) -> str:
    return store.address.below(name).reveal()


def file_of(folder: Path, content: bytes, name: str = "made.bin") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_names_sizes_and_folders_are_those_of_a_file_system(store, tmp_path):
    both = (store, LocalStore(str(tmp_path / "local")))
    for each in both:
        for name in ("runs/a@2/run.json", "nodes/x/data/p/k.parquet", "nodes/x/manifest.json", "nodes/y-1/a b.json"):
            each.write(name, name.encode())
        each.link("nodes/x/manifest.json", "nodes/z/manifest.json")
    for look in (
        lambda s: s.names("nodes"), lambda s: s.names("nodes/x"), lambda s: s.names("none"), lambda s: s.names("runs"),
        lambda s: s.sizes("nodes"), lambda s: s.sizes("nodes/x"), lambda s: s.sizes("none"),
        lambda s: s.read("nodes/y-1/a b.json"), lambda s: s.read("none"),
        lambda s: s.size("runs/a@2/run.json"), lambda s: s.size("none"), lambda s: s.read("nodes/z/manifest.json"),
        lambda s: s.local("nodes/x/manifest.json").read_bytes(),
    ):  # fmt: skip
        found, expected = [look(each) for each in both]
        assert found == expected
    for each in both:
        each.delete("nodes/x")
        each.delete("nodes/y-1/a b.json")
        each.delete("none")
    assert store.sizes("nodes") == both[1].sizes("nodes") == {"z/manifest.json": len("nodes/x/manifest.json")}


def test_one_of_fifty_creates_a_name(store):
    gate, won = threading.Barrier(50), []

    def race(number: int) -> None:
        gate.wait()
        if store.create("name", str(number).encode()):
            won.append(str(number).encode())

    threads = [threading.Thread(target=race, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.read("name")]


def test_drivers_race_for_a_lease_and_one_has_it(store):
    drivers, gate, won = [Leases(store) for _ in range(12)], threading.Barrier(12), []

    def race(leases: Leases) -> None:
        gate.wait()
        if leases.acquire(NODE):
            won.append(leases)

    threads = [threading.Thread(target=race, args=(leases,)) for leases in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].check(NODE)
    won[0].release(NODE)
    assert next(leases for leases in drivers if leases is not won[0]).acquire(NODE)
    for leases in drivers:
        leases.close()


@pytest.mark.parametrize("way", ["publish", "publish_new"])
def test_a_publish_that_fails_leaves_nothing_under_the_name(store, way):
    unreadable = Path("/proc/self/mem")  # it opens, and reading it is an error
    with pytest.raises(StoreError):
        getattr(store, way)(unreadable, "nodes/x/data/p/k.bin")
    assert store.size("nodes/x/data/p/k.bin") is None


def test_a_file_is_published_once(store, tmp_path):
    assert store.publish_new(file_of(tmp_path, b"first"), "k.bin")
    assert not store.publish_new(file_of(tmp_path, b"other"), "k.bin")
    assert store.read("k.bin") == b"first"
    store.publish(file_of(tmp_path, b"other"), "k.bin")
    assert store.read("k.bin") == b"other"


def test_a_task_is_two_requests_and_a_receipt_one(store, tmp_path, requests):
    commit(store, NODE, "p", "k", {"k.bin": file_of(tmp_path, b"abc")}, [], Result())
    assert requests == {"put": 2}
    requests.clear()
    receipt = read_receipt(store, NODE, "p", "k")
    assert requests == {"get": 1}
    again = commit(store, NODE, "p", "k", {"k.bin": file_of(tmp_path, b"abc")}, [], Result())
    assert again == receipt


def test_a_copy_is_fetched_once_and_held_against_its_digest(store, tmp_path, requests):
    path = file_of(tmp_path, b"content")
    digest = sha256_of(path)
    store.publish(path, "k.bin")
    requests.clear()
    found = [store.local("k.bin", digest) for _ in range(3)]
    assert [each.read_bytes() for each in found] == [b"content"] * 3
    assert requests == {"get": 1}
    with pytest.raises(StoreError, match=r"other bytes in k\.bin.*siftloom verify"):
        store.local("k.bin", "0" * 64)
    store.write("k.bin", b"a later version")
    assert store.local("k.bin").read_bytes() == b"a later version"
    with pytest.raises(StoreError, match="no object none"):
        store.local("none")


def test_copies_are_private(store, tmp_path, monkeypatch):
    store.write("k.bin", b"x")
    path = store.local("k.bin")
    assert path.is_relative_to(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    for name in ("open", "link"):
        monkeypatch.setenv("SIFTLOOM_CACHE", str(tmp_path / name))
        with pytest.raises(StoreError, match=r"a folder of your own that is closed to others"):
            store.local("k.bin")


def test_the_cache_is_bounded_and_keeps_what_was_used_last(store, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 25)
    monkeypatch.setattr(cache, "_added", None)
    monkeypatch.setattr(cache, "IN_USE_SECONDS", 0.0)
    paths = []
    for number in range(4):
        store.write(f"{number}.bin", bytes(10))
        paths.append(store.local(f"{number}.bin"))
        for age, path in enumerate(paths[::-1], 1):
            if path.exists():
                os.utime(path, (10**9 - age, 10**9 - age))
    assert [path.exists() for path in paths] == [False, False, True, True]


@pytest.mark.parametrize(
    "pattern", ["", "/*.txt", "/**/*.txt", "/deep/c.txt", "/d*/*.json", "/*", "/**", "/[ab].txt", "/deep/**/*"]
)
def test_globs_mean_what_they_mean_locally(store, tmp_path, pattern):
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/er/d.json", "deep/d.json", ".hidden", ".git/e.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
        store.write(f"in/{name}", name.encode())
    local = expand(f"{tmp_path}/in{pattern}", "x").entries
    remote = expand(uri_of(store, f"in{pattern}"), "x").entries
    assert [entry.name for entry in remote] == [entry.name for entry in local]
    for there, here in zip(remote, local, strict=True):
        assert digest_file(there.path, there.size) == digest_file(here.path, here.size)


def test_a_source_is_read_by_range_and_its_changes_are_seen(store):
    content = bytes(range(256)) * 9000
    store.write("in/a.bin", content)
    listing = expand(uri_of(store, "in/a.bin"), "x")
    (source,) = listing.sources([digest_file(listing.entries[0].path, len(content))])
    require_unchanged(source)
    with open_stream(source.path) as stream:
        stream.seek(-1000, os.SEEK_END)
        assert stream.read() == content[-1000:]
        stream.seek(2_000_000)
        assert stream.read(10) == content[2_000_000:2_000_010]
    store.write("in/a.bin", content[::-1])
    assert expand(uri_of(store, "in/a.bin"), "x").key != listing.key
    with pytest.raises(SourceError, match="changed since it was listed"):
        require_unchanged(source)


def test_what_matches_nothing_or_cannot_be_opened_is_named(store, endpoint):
    with pytest.raises(SourceError, match="nothing matches"):
        expand(uri_of(store, "none/*.gz"), "read.paths")
    with pytest.raises(SourceError, match=r"read\.paths: .*the scheme ftp://"):
        expand("ftp://host/a.txt", "read.paths")
    with pytest.raises(StoreError, match="a bucket that exists"):
        open_store(f"s3://no-such-bucket/x?endpoint_override={endpoint}&scheme=http&region=us-east-1").write("a", b"")
    with pytest.raises(StoreError, match=r"an option 'no_such_option' that there is not"):
        open_store("s3://bucket/x?no_such_option=1").read("a")


def test_a_store_is_marked(store):
    with pytest.raises(StoreError, match=r"no store: it holds no siftloom\.json"):
        require_store(store)
    mark_store(store)
    mark_store(store)
    require_store(store)
    store.write("siftloom.json", b'{"format": 1}')
    with pytest.raises(StoreError, match=r"says .*1.*expected format 3"):
        mark_store(store)


@pytest.mark.parametrize("refuses", [False, True], ids=["overlooks the condition", "refuses it"])
def test_a_store_that_cannot_write_on_a_condition_is_refused_with_what_would_be_lost(endpoint, refuses):
    with s3.without_conditions(endpoint, refuses=refuses) as old:
        store = open_store(s3.bucket(endpoint, f"bucket-{next(NUMBERS)}").replace(endpoint, old))
        store.write("a", b"plain writing is no question")
        with pytest.raises(StoreError, match=r"cannot write on a condition.*no two drivers own one node"):
            mark_store(store)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://AKIA1:s3cr%2Ft@bucket/a?region=x", "s3://***@bucket/a?region=x"),
        ("s3://bucket/a?secret_access_key=s3cr&region=x&session_token=t", "s3://bucket/a?secret_access_key=***&region=x&session_token=***"),
        ("az://account/c/p?sas_token=s3cr", "az://account/c/p?sas_token=***"),
        ("/a/folder?key=1", "/a/folder?key=1"),
        ("s3://AKIA1:s3cr/t+x@bucket/a?region=x", "s3://***@bucket/a?region=x"),  # as the console shows a key
        ("https://me@host:8080/a/b@2?v=1#part", "https://***@host:8080/a/b@2?v=1#part"),
        ("http://host:8080/runs/first@2/x#p", "http://host:8080/runs/first@2/x#p"),
        ("demo://corpus", "demo://corpus"),
    ],
)  # fmt: skip
def test_secrets_of_a_uri_are_not_shown(uri, shown):
    assert str(Address(uri)) == shown


def test_secrets_inside_of_texts_and_values_are_not_shown():
    recipe = "store: s3://K:s3cr@b/runs # mine\nnodes: {docs: {paths: [s3://b/x?session_token=t3k, 's3://b/y']}}"
    assert masked(recipe) == recipe.replace("K:s3cr", "***").replace("t3k", "***")
    assert masked({"paths": ["s3://K:s3cr@b/x", 3], "none": None}) == {"paths": ["s3://***@b/x", 3], "none": None}


def test_the_runs_of_a_store_show_no_secret(endpoint, store):
    from siftloom.ask.runs import all_runs, forget
    from siftloom.run import Run

    uri = store.address.reveal().replace("s3://", "s3://KEY:S3CRET@")
    store.write("runs/first/run.json", b'{"name": "first", "nodes": {}}')
    store.write("runs/first/report.html", b"x")
    (found,) = all_runs(uri)
    assert found["report"].startswith("s3://***@")
    assert "S3CRET" not in repr(Run(open_store(uri), "first"))
    with pytest.raises(UserError) as caught:
        forget(uri, "other")
    assert "S3CRET" not in str(caught.value)


def test_an_error_shows_no_secret(endpoint):
    uri = f"s3://KEY:S3CRET@no-such-bucket/x?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    with pytest.raises(StoreError) as caught:
        open_store(uri).write("a", b"")
    assert "S3CRET" not in str(caught.value)


def test_a_full_disk_under_the_copies_is_not_blamed_on_the_store(store, disk, monkeypatch):
    store.write("large", b"x" * 2_000_000)
    monkeypatch.setenv("SIFTLOOM_CACHE", str(disk / "cache"))
    with pytest.raises(DiskFull, match=f"^folder {disk}.*: the disk is full"):
        store.local("large")


def test_a_copy_that_is_open_or_mapped_is_kept_and_goes_when_it_is_closed(store, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 15)
    monkeypatch.setattr(cache, "IN_USE_SECONDS", 0.0)
    for name in "abcd":
        store.write(f"{name}.bin", bytes(10))
    with store.held("a.bin") as file:
        mapped = np.memmap(file, np.uint8, "r")
    path = store.local("a.bin")
    for name in "bc":
        os.utime(path, (0, 0))
        monkeypatch.setattr(cache, "_added", None)
        store.local(f"{name}.bin")
        assert path.exists()
    del mapped
    monkeypatch.setattr(cache, "_added", None)
    store.local("d.bin")
    assert not path.exists()


def test_threads_that_want_one_object_fetch_it_once(store, monkeypatch):
    store.write("k.bin", bytes(100))
    fetched, together = [], threading.Barrier(8)
    real = type(store).fetch
    monkeypatch.setattr(type(store), "fetch", lambda *args: (fetched.append(args[1]), real(*args))[1])

    def ask(_):
        together.wait()
        return store.local("k.bin", hashlib.sha256(bytes(100)).hexdigest())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert fetched == ["k.bin"]


def test_parts_and_streams_fetch_no_whole_object(store, tmp_path):
    data = os.urandom(1000)
    for place in (store, open_store(str(tmp_path / "here"))):
        place.write("k.bin", data)
        assert place.ranges("k.bin", [0, 990, 7], 10) == [data[:10], data[990:], data[7:17]]
        with place.stream("k.bin") as stream:
            stream.seek(-4, os.SEEK_END)
            assert (stream.read(4), stream.tell()) == (data[-4:], 1000)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(StoreError, match="no object none"):
        store.ranges("none", [0], 1)
    with pytest.raises(StoreError, match="no object none"):
        store.stream("none")
