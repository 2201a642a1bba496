"""Source files: what paths name, what makes a listing another one, and files that change under a run."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.contract import Source
from pipeline.errors import SourceChanged, SourceError
from pipeline.files.address import Address
from pipeline.files.objects import LocalStore
from pipeline.files.sources import Listing, digest_file, expand, require_unchanged, save_digests


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/d.json", ".hidden", ".git/e.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "in"


def names(*paths) -> list[str]:
    return [entry.name for entry in expand([str(path) for path in paths], "read.paths").entries]


def test_a_folder_is_its_files_in_order_of_name_without_hidden_ones(folder):
    assert names(folder) == ["a.txt", "b.txt", "deep/c.txt", "deep/d.json"]


def test_globs_files_and_folders_name_relative_to_where_they_begin(folder):
    assert names(folder / "*.txt") == ["a.txt", "b.txt"]
    assert names(folder / "**" / "*.txt") == ["a.txt", "b.txt", "deep/c.txt"]
    assert names(folder / "deep" / "c.txt") == ["c.txt"]
    assert names(folder / "d*" / "*.json") == ["deep/d.json"]


def test_a_hidden_folder_above_the_root_hides_nothing(folder):
    place = folder / ".git"
    assert names(place) == ["e.txt"]


def test_a_file_named_twice_is_read_once(folder):
    assert names(folder / "a.txt", folder / "*.txt", folder / "a.txt") == ["a.txt", "b.txt"]


def test_the_order_of_paths_does_not_matter(folder):
    one, other = [str(folder / "deep"), str(folder / "*.txt")], [str(folder / "*.txt"), str(folder / "deep")]
    assert expand(one, "x").key == expand(other, "x").key


@pytest.mark.parametrize("path", ["nothing.txt", "*.gz", "no/such/folder", "own://nothing"])
def test_what_matches_nothing_is_named_with_its_place(folder, path):
    wanted = path if "://" in path else str(folder / path)
    with pytest.raises(SourceError, match=r"^read\.paths: nothing matches") as caught:
        expand((str(folder), wanted), "read.paths", {"own": lambda name: []})
    assert wanted in str(caught.value)


def test_a_scheme_of_the_fields_own_gives_the_files_behind_it(folder):
    entries = expand(["own://deep"], "x", {"own": lambda name: [str(folder / name / "c.txt")]}).entries
    assert [(entry.name, str(entry.path)) for entry in entries] == [("c.txt", str(folder / "deep" / "c.txt"))]


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="nothing matches"):
        expand(str(tmp_path / "empty"), "read.paths")


def test_touching_makes_another_listing_and_copying_the_same_digests(folder, tmp_path):
    listing = expand(str(folder), "x")
    os.utime(folder / "a.txt", ns=(1, 1))
    touched = expand(str(folder), "x")
    assert touched.key != listing.key
    shutil.copytree(folder, tmp_path / "copy")
    copied = expand(str(tmp_path / "copy"), "x")
    digests = [[digest_file(e.path, e.size) for e in each.entries] for each in (listing, touched, copied)]
    assert digests[0] == digests[1] == digests[2]
    assert digests[0][0] == hashlib.sha256(b"a.txt").hexdigest()


def test_folders_of_equal_names_sizes_and_times_share_no_digests(tmp_path):
    """As two archives leave them that were packed with fixed times."""
    for name, text in (("one", "first"), ("two", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text)
        os.utime(tmp_path / name / "a.txt", ns=(10**18, 10**18))
    store = LocalStore(str(tmp_path / "store"))
    save_digests(store, expand(str(tmp_path / "one"), "x"), ["1" * 64])
    assert expand(str(tmp_path / "two"), "x").digests(store) is None


def test_a_file_whose_time_was_set_back_is_another_one(folder):
    path = folder / "a.txt"
    entry = expand(str(path), "x").entries[0]
    source = Source(0, entry.name, entry.path, entry.size, digest_file(entry.path, entry.size), entry.stamp)
    stat = path.stat()
    path.write_text("A.TXT")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert expand(str(path), "x").key != Listing((entry,)).key
    with pytest.raises(SourceChanged, match="changed since it was listed"):
        require_unchanged(source)


def test_a_trusted_listing_knows_places_and_files_whose_time_was_set_back(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        os.utime(tmp_path / name / "a.txt", ns=(10**18, 10**18))
    one, two = (expand(str(tmp_path / name), "x").stand_ins() for name in ("one", "two"))
    assert one != two
    assert expand(str(tmp_path / "one"), "x").stand_ins() == one
    (tmp_path / "one" / "a.txt").write_text("eno")
    os.utime(tmp_path / "one" / "a.txt", ns=(10**18, 10**18))
    assert expand(str(tmp_path / "one"), "x").stand_ins() != one


def test_a_trusted_listing_of_objects_knows_their_etags(monkeypatch):
    import obstore
    from s3 import CREDENTIALS, bucket, server

    from pipeline.files.opening import connect

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with server() as endpoint:
        folders = [Address(bucket(endpoint, name)).below("in").reveal() for name in ("one", "two")]

        def put(folder: str, text: str) -> None:
            opened, name = Address(folder).below("a.txt").split()
            obstore.put(connect(opened), name, text.encode())

        def stand_ins(folder: str) -> list[str]:
            return expand(folder, "x").stand_ins()

        for folder in folders:
            put(folder, "first")
        one, two = map(stand_ins, folders)
        assert one != two
        assert stand_ins(folders[0].replace("s3://", "s3://key:secret@")) == stand_ins(
            folders[0].replace("s3://", "s3://other:secret@")
        )
        put(folders[0], "first")  # written again with the same bytes
        assert stand_ins(folders[0]) == one
        put(folders[0], "other")
        assert stand_ins(folders[0]) != one


def test_a_file_that_changes_after_it_was_listed_has_another_time(folder):
    """Also where the clock of the file system stands still for some milliseconds."""
    (folder / "a.txt").write_text("now")
    expand(str(folder), "x")
    assert time.time_ns() >= (folder / "a.txt").stat().st_ctime_ns + 20_000_000


def test_digests_are_known_once_they_are_saved(folder, tmp_path):
    store, listing = LocalStore(str(tmp_path / "store")), expand(str(folder), "x")
    assert listing.digests(store) is None
    digests = [digest_file(entry.path, entry.size) for entry in listing.entries]
    save_digests(store, listing, digests)
    assert expand(str(folder), "x").digests(store) == digests
    assert [s.name for s in listing.sources(listing.digests(store))] == [e.name for e in listing.entries]


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'["1"]', b"[]"])
def test_damaged_digests_are_made_again(folder, tmp_path, content):
    store, listing = LocalStore(str(tmp_path / "store")), expand(str(folder), "x")
    store.write(f"sources/{listing.key}/digests.json", content)
    assert listing.digests(store) is None


def test_a_file_that_grew_since_it_was_listed_is_named(folder):
    entry = expand(str(folder / "a.txt"), "x").entries[0]
    (folder / "a.txt").write_text("a longer text")
    with pytest.raises(SourceChanged, match=r"a\.txt: 13 bytes read; expected the 5 bytes"):
        digest_file(entry.path, entry.size)


def source_of(path: Path) -> Source:
    listing = expand(str(path), "x")
    return listing.sources([digest_file(e.path, e.size) for e in listing.entries])[0]


def test_a_file_that_went_since_it_was_listed_is_named(folder):
    (entry,) = expand([str(folder / "a.txt")], "read.paths").entries
    (folder / "a.txt").unlink()
    with pytest.raises(SourceChanged, match=r"a\.txt: no file; expected the \d+ bytes listed before"):
        digest_file(entry.path, entry.size)


def test_a_touched_file_is_unchanged_and_an_edited_one_is_not(folder):
    path = folder / "a.txt"
    source = source_of(path)
    require_unchanged(source)
    os.utime(path, ns=(1, 1))
    require_unchanged(source)
    path.write_text("A.txt")  # of the same length
    with pytest.raises(SourceChanged, match="has changed since it was listed"):
        require_unchanged(source)
    path.unlink()
    with pytest.raises(SourceChanged, match="no file"):
        require_unchanged(source)


def test_a_trusted_listing_stands_for_its_time(folder):
    path = folder / "a.txt"
    source = source_of(path)
    trusted = Source(**(vars(source) | {"digest": "stands for name, size and time"}))
    require_unchanged(trusted)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChanged):
        require_unchanged(trusted)


@pytest.mark.parametrize("path", ["https://example.com/a.jsonl", "ftp://example.com/a.jsonl", "s3-is-no-scheme://a"])
def test_an_address_that_nothing_can_open_is_named(path):
    with pytest.raises(SourceError, match=r"://.*expected a path, or one of s3://"):
        expand([path], "read.paths")
