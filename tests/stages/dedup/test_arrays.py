"""Edges, components, key files, rows and the S-curve against brute force."""

import itertools
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from stages.dedup import figures, key_files, union_find
from stages.dedup.components import with_new_rows
from stages.dedup.corpus import MAX_NARROW, first_rows, locate, row_type
from stages.dedup.earlier import KeyTable
from stages.dedup.minhash import _bands_for
from stages.dedup.record_files import DOCUMENT, RecordFile, fixed_width, save, stored, stored_table, with_ids
from stages.dedup.union_find import grouped, may_repeat, range_edges, stars

pairs = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60)


def labels_by_flooding(count: int, edges) -> list[int]:
    """Smallest row of each component, by repeated passes over all edges."""
    label = list(range(count))
    changed = True
    while changed:
        changed = False
        for a, b in edges:
            low = min(label[a], label[b])
            changed |= label[a] != low or label[b] != low
            label[a] = label[b] = low
    return label


def labels(count: int, edges, kind=np.uint32) -> np.ndarray:
    parent = np.arange(count, dtype=kind)
    left, right = np.array(edges, kind).reshape(-1, 2).T
    union_find.union(parent, left, right)
    union_find.flatten(parent)
    return parent


@given(pairs, st.sampled_from([np.uint32, np.int64]))
def test_components_equal_flooding(edges, kind):
    assert labels(40, edges, kind).tolist() == labels_by_flooding(40, edges)


@given(pairs, st.randoms())
def test_components_do_not_depend_on_the_order_of_edges(edges, chance):
    shuffled = [pair[:: chance.choice([1, -1])] for pair in edges]
    chance.shuffle(shuffled)
    assert np.array_equal(labels(40, edges), labels(40, shuffled))


@given(pairs)
def test_clusters_list_every_component_of_two_and_more(edges):
    parent = labels(40, edges)
    rows, starts = union_find.clusters(parent)
    found = [rows[a:b].tolist() for a, b in itertools.pairwise(starts)]
    expected = [np.flatnonzero(parent == root).tolist() for root in np.unique(parent)]
    assert found == [cluster for cluster in expected if len(cluster) > 1]


keyed = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 30)), min_size=0, max_size=80)


@given(keyed, st.randoms())
def test_forest_joins_the_rows_of_equal_keys_and_forgets_the_order(some, chance):
    def forest(of):
        table = np.array(of, np.int64).reshape(-1, 2)
        return range_edges(table[:, 0].astype(np.uint64), table[:, 1].astype(np.uint32))

    found = forest(some)
    by_key = [(a, b) for key, a in some for other, b in some if key == other]
    assert labels(31, found.tolist()).tolist() == labels_by_flooding(31, by_key)
    assert len(found) <= len({row for _, row in some})
    chance.shuffle(some)
    assert np.array_equal(forest(some), found)


@pytest.mark.parametrize("shift", [0, 20, 40])
@pytest.mark.parametrize("count", [0, 1, 2, 3000])
def test_equal_keys_become_neighbours_also_where_their_high_bits_agree(count, shift):
    found = np.random.default_rng(count).integers(0, 900, count).astype(np.uint64)
    found = (found << np.uint64(shift)) ^ (found % np.uint64(7))
    order = grouped(found)
    assert sorted(order.tolist()) == list(range(count))
    runs = [key for key, _ in itertools.groupby(found[order].tolist())]
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize("high", [0, 5 << 60])
def test_no_repeated_key_is_sieved_out_and_few_others_stay(high):
    chance = np.random.default_rng(4)
    found = np.unique(chance.integers(0, 1 << 60, 60_000).astype(np.uint64)) | np.uint64(high)
    again = chance.choice(found, 5_000, replace=False)
    found = chance.permutation(np.concatenate([found, again, again[:100], again[:1].repeat(70)]))
    stays = may_repeat(found)
    repeats = np.isin(found, again)
    assert stays[repeats].all()
    assert stays[~repeats].mean() < 0.15
    assert not may_repeat(found[:0]).size


def test_a_key_of_many_rows_costs_one_edge_a_row():
    left, right = stars(np.zeros(1000, np.uint64), np.arange(1000, dtype=np.uint32)[::-1].copy())
    assert (left == 0).all()
    assert sorted(right.tolist()) == list(range(1, 1000))


@pytest.mark.parametrize("ranges", [1, 2, 7, 16])
def test_any_number_of_ranges_joins_the_same_rows(tmp_path, ranges):
    chance = np.random.default_rng(3)
    values = chance.integers(0, 1 << 63, 500).astype(np.uint64) * np.uint64(2)
    found = []
    for i in range(6):
        file = key_files.KeyFile(4)
        for _ in range(3):
            file.add(chance.choice(values, (20, 5)), np.sort(chance.integers(0, 200, 20)))
        file.write(tmp_path / f"{i}.parquet")
    edges = []
    for q in range(ranges):
        read = [key_files.read_range(tmp_path / f"{i}.parquet", q, ranges) for i in (3, 1, 5, 0, 2, 4)]
        found.append(sum(len(k) for k, _ in read))
        assert all((key_files.range_of(k, ranges) == q).all() for k, _ in read)
        offset = dict(zip(range(6), (600, 200, 1000, 0, 400, 800), strict=True))
        rows = [local + np.uint32(offset[i]) for i, (_, local) in enumerate(read)]
        edges.append(range_edges(np.concatenate([k for k, _ in read]), np.concatenate(rows)))
    assert sum(found) == 6 * 3 * 100
    digest = labels(1200, np.concatenate(edges).tolist())
    whole = tmp_path / "label.npy"
    np.save(whole, digest)
    assert np.array_equal(digest, _one_range(tmp_path))


def _one_range(folder) -> np.ndarray:
    read = [key_files.read_range(folder / f"{i}.parquet", 0, 1) for i in range(6)]
    rows = np.concatenate([local + np.uint32(200 * i) for i, (_, local) in enumerate(read)])
    return labels(1200, range_edges(np.concatenate([k for k, _ in read]), rows).tolist())


def test_number_of_ranges_is_that_of_the_rows():
    assert key_files.range_count(0, 15) == key_files.range_count(1_000_000, 15) == 1
    assert key_files.range_count(2_000_000, 15) == 2
    assert key_files.range_count(10**9, 15) == 938
    assert key_files.range_count(10**9, 14) == 875


def test_key_files_that_are_damaged_are_named(tmp_path):
    path = tmp_path / "keys.parquet"
    file = key_files.KeyFile(4)
    file.add(np.arange(40, dtype=np.uint64).reshape(-1, 4) << np.uint64(58), np.arange(10))
    file.write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"keys\.parquet.*verify"):
        key_files.read_range(path, 0, 4)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        key_files.read_range(path, 0, 4)
    path.unlink()
    with pytest.raises(DataError, match="missing"):
        key_files.read_range(path, 0, 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_rows_are_counted_through(counts):
    first = first_rows(counts)
    every = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    shard, local = locate(np.arange(sum(counts)), first)
    assert list(zip(shard.tolist(), local.tolist(), strict=True)) == every
    assert row_type(MAX_NARROW - 1) is np.uint32
    assert row_type(MAX_NARROW) is np.int64


def test_record_file_is_an_ordinary_npy_file(tmp_path):
    file = RecordFile(tmp_path / "r.npy", np.dtype("<u4"), (112,))
    parts = [np.zeros((n, 112), np.uint32) for n in (3, 0, 100_000)]
    parts[2][:, 5] = np.arange(100_000)
    for part in parts:
        file.append(part)
    file.close()
    assert np.array_equal(np.load(tmp_path / "r.npy", mmap_mode="r"), np.concatenate(parts))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint32).reshape(3, 2),
        np.zeros(0, np.int64),
        np.zeros(5, DOCUMENT),
        np.array([b"a", b"longer"]),
    ],
)
def test_stored_arrays_are_what_numpy_loads(tmp_path, array):
    save(tmp_path / "a.npy", array)
    found = stored(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    assert np.array_equal(found, np.load(tmp_path / "a.npy"))
    assert not found.flags.writeable


def test_stored_arrays_that_are_damaged_are_named(tmp_path):
    path = tmp_path / "a.npy"
    save(path, np.arange(1000))
    whole = path.read_bytes()
    for cut in (0, 5, 60, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"dedup records .*a\.npy"):
            stored(path)
    path.unlink()
    with pytest.raises(DataError, match="FileNotFoundError"):
        stored(path)


@pytest.mark.parametrize("cut", [0, 5, 100])
def test_tables_that_are_damaged_are_named(tmp_path, cut):
    path = tmp_path / "a.arrow"
    table = pa.table({"row": np.arange(1000)})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    assert stored_table(path) == table
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"dedup records .*a\.arrow.*verify"):
        stored_table(path)
    path.unlink()
    with pytest.raises(DataError, match="FileNotFoundError"):
        stored_table(path)


@pytest.mark.parametrize("high", [0, 40])
def test_keys_of_new_documents_are_found_among_others_and_few_of_the_others_are(high):
    """Also where a range's keys differ in their low bits only."""
    chance = np.random.default_rng(6)
    both = np.unique(chance.integers(0, 1 << (63 - high), 60_000).astype(np.uint64))
    new, others = both[::2].copy(), both[1::2]
    keys_read = chance.permutation(np.concatenate([others, new[:5000]]))
    at = KeyTable(new).find(keys_read)
    assert (np.diff(at) > 0).all()
    assert set(new[:5000].tolist()) <= set(keys_read[at].tolist())
    assert len(at) - 5000 < len(others) / 40
    assert KeyTable(new[:0]).find(keys_read).size == 0
    assert KeyTable(new).find(keys_read[:0]).size == 0


def test_ids_of_any_script_and_width():
    import pyarrow as pa

    ids = ["a", "ab:1", "", "ü:22", "abc123def456:99"]
    assert [i.decode() for i in fixed_width(pa.array(ids)[:])] == ids
    assert [i.decode() for i in fixed_width(pa.array(ids)[1:3])] == ids[1:3]
    assert len(fixed_width(pa.array([], pa.string()))) == 0


@settings(max_examples=20)
@given(st.floats(0.01, 0.99), st.sampled_from([(14, 8), (9, 13), (20, 5)]))
def test_curve_and_its_inverse(p, banding):
    assert figures.probability(figures.similarity_at(p, *banding), *banding) == pytest.approx(p)


def test_curve_of_the_default_and_the_optimiser():
    assert figures.similarity_at(0.5, 14, 8) == pytest.approx(0.685, abs=5e-4)
    assert figures.similarity_at(0.5, 9, 13) == pytest.approx(0.819, abs=5e-4)
    assert "50% at 0.685" in figures.describe(14, 8)
    index = MinHashLSH(threshold=0.7, num_perm=64)
    assert _bands_for(0.7, 64) == (index.b, index.r)


@given(pairs, st.integers(0, 40))
def test_clusters_of_old_rows_alone_are_left_out(edges, old):
    rows, starts = union_find.clusters(labels(40, edges))
    members, cuts = with_new_rows(rows, starts, old)
    expected = [rows[a:b].tolist() for a, b in pairwise(starts) if (rows[a:b] >= old).any()]
    assert [members[a:b].tolist() for a, b in pairwise(cuts)] == expected


def test_records_carry_their_ids(tmp_path):
    documents = np.zeros(3, DOCUMENT)
    documents["row"], documents["exact"][:, 1] = [0, 2, 7], [5, 6, 1 << 63]
    save(tmp_path / "r.npy", with_ids(documents, fixed_width(pa.array(["a", "", "longest"]))))
    found = stored(tmp_path / "r.npy")
    assert found["id"].tolist() == [b"a", b"", b"longest"]
    assert all(np.array_equal(found[name], documents[name]) for name in DOCUMENT.names)
    assert len(with_ids(documents[:0], fixed_width(pa.array([], pa.string())))) == 0
