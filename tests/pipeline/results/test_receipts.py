"""Receipts: written last, equal when done twice, refused when the bytes differ; and the law that nothing gets lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import Law, Result
from pipeline.errors import BalanceError, DataError, DiskFull, DriftError
from pipeline.files.objects import LocalStore, sha256_of
from pipeline.results.receipts import (
    ROWS_LAW,
    Receipt,
    Summary,
    check_law,
    commit,
    data_name,
    done_keys,
    read_receipt,
    receipt_name,
)  # fmt: skip

FOLDER = "nodes/n-0123456789ab"


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


def made(folder: Path, content: bytes, name: str = "made") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_task_done_twice_writes_the_same_receipt_once(store, tmp_path):
    result = Result({"rows": 3}, {"note": "x"})
    reads = [["a-0", "p", "k2", "d2"], ["a-0", "p", "k1", "d1"]]
    first = commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, reads, result)
    path = store.local(receipt_name(FOLDER, "p", "k"))
    content, stamp = path.read_bytes(), path.stat().st_mtime_ns
    again = commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, reads[::-1], result)
    assert again == read_receipt(store, FOLDER, "p", "k")
    assert again.digest == first.digest
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, stamp)
    assert again.files["k.bin"] == {"size": 3, "sha256": sha256_of(store.local(data_name(FOLDER, "p", "k.bin")))}
    assert json.loads(content)["reads"] == sorted(reads)
    assert done_keys(store, FOLDER, "p") == {"k"}


@pytest.mark.parametrize("again", [Result({"rows": 3}, {"mean": 2.5}), Result({"rows": 4}, {"mean": 2.0})])
def test_a_task_that_says_something_else_the_second_time_is_drift(store, again):
    """Facts decide bytes as files do: a cut, the parameters of a model. Counts must balance."""
    commit(store, FOLDER, "p", "k", {}, [], Result({"rows": 3}, {"mean": 2.0}))
    with pytest.raises(DriftError, match=r"other (facts|counts) for the finished task"):
        commit(store, FOLDER, "p", "k", {}, [], again)
    first = commit(store, FOLDER, "p", "k", {}, [], again, deterministic=False)
    assert (first.counts, first.facts) == ({"rows": 3}, {"mean": 2.0})


def test_a_receipt_holds_no_clock_host_or_process(store, tmp_path):
    commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, [], Result())
    form = json.loads(store.read(receipt_name(FOLDER, "p", "k")))
    assert sorted(form) == ["columns", "counts", "facts", "files", "key", "phase", "reads", "takes"]
    assert sorted(form["files"]["k.bin"]) == ["sha256", "size"]


def test_other_bytes_for_a_finished_key_are_drift(store, tmp_path):
    commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, [], Result())
    with pytest.raises(DriftError, match=r"other bytes for the finished file k\.bin"):
        commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abd")}, [], Result())
    assert store.read(data_name(FOLDER, "p", "k.bin")) == b"abc"


def test_a_file_more_for_a_finished_key_is_drift(store, tmp_path):
    commit(store, FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, [], Result())
    outputs = {"k.bin": made(tmp_path, b"abc"), "l.bin": made(tmp_path, b"x", "other")}
    with pytest.raises(DriftError, match=r"l\.bin"):
        commit(store, FOLDER, "p", "k", outputs, [], Result())


def test_a_receipt_is_written_after_its_files(store, tmp_path):
    class Full(LocalStore):
        def publish_new(self, path, name):
            if "/data/" in name:
                raise DiskFull("store", "the disk is full")
            return super().publish_new(path, name)

    with pytest.raises(DiskFull):
        commit(Full(store.root), FOLDER, "p", "k", {"k.bin": made(tmp_path, b"abc")}, [], Result())
    assert done_keys(store, FOLDER, "p") == set()


def test_facts_are_small(store):
    with pytest.raises(DataError, match=r"4\.2 MB"):
        commit(store, FOLDER, "p", "k", {}, [], Result(facts={"all": "x" * 5_000_000}))
    assert done_keys(store, FOLDER, "p") == set()


def test_a_task_may_lay_down_thousands_of_shards(store):
    place = {"digest": "d" * 64, "row_groups": [0, 1], "first_row": 0, "columns": {"text": "a long name of a column"}}
    shards = [{"key": f"00000-0000-{i:05d}", "rows": 9, "text_bytes": 9, "in_place": place} for i in range(10_000)]
    commit(store, FOLDER, "p", "k", {}, [], Result(facts={"shards": shards}))
    assert read_receipt(store, FOLDER, "p", "k").facts["shards"] == shards


def test_a_readers_digest_moves_with_files_and_facts():
    one = Receipt("p", "k", {"k.bin": {"size": 1, "sha256": "a"}}, facts={"n": 1})
    assert one.digest == Receipt("p", "k", one.files, counts={"rows": 5}, facts={"n": 1}).digest
    assert one.digest != Receipt("p", "k", one.files, facts={"n": 2}).digest
    assert one.digest != Receipt("p", "k", {"k.bin": {"size": 1, "sha256": "b"}}, facts={"n": 1}).digest


counts = st.dictionaries(st.sampled_from(["removed.a", "removed.b", "alive_out"]), st.integers(0, 1000))


@given(st.lists(counts, max_size=5))
def test_what_balances_per_task_balances_over_all(parts):
    receipts = [Receipt("p", str(i), counts=part | {"alive_in": sum(part.values())}) for i, part in enumerate(parts)]
    check_law(ROWS_LAW, Summary.of(receipts).counts, "n")


@given(counts, st.integers(-5, 5))
def test_a_row_too_many_or_too_few_is_found(parts, slip):
    whole = {**parts, "alive_in": sum(parts.values()) + slip, "text_bytes_in": 7}
    if slip:
        with pytest.raises(BalanceError, match=rf"n\.rows: {whole['alive_in']} rows in"):
            check_law(ROWS_LAW, whole, "n.rows")
    else:
        check_law(ROWS_LAW, whole, "n.rows")


def test_a_part_with_a_dot_takes_whatever_begins_so_and_others_only_themselves():
    law = Law("tokens", "tokens", ("packed", "dropped."))
    check_law(law, {"tokens": 6, "packed": 1, "dropped.short": 2, "dropped.empty": 3, "packed_rows": 9}, "n")
    with pytest.raises(BalanceError):
        check_law(law, {"tokens": 6, "packed": 1, "dropped": 5}, "n")
