"""The split: a function of seed and id, the asked share, clusters whole."""

import pyarrow as pa
from local_context import LocalContext

from stages.read.read import Read
from stages.split import Split

DOCS = Read(paths=("unread",), keep=("cluster_id",))
IDS = [f"0123456789ab:{i}" for i in range(20_000)]


def held_out(ids, clusters=None, **fields):
    node = Split(docs=DOCS, **fields)
    node.check()
    table = {"id": ids} if clusters is None else {"id": ids, "cluster_id": pa.array(clusters, pa.string())}
    return node.open(LocalContext(node, None))(pa.table(table)).added["held_out"].tolist()


def test_the_share_is_the_asked_one_and_order_does_not_matter():
    marks = held_out(IDS, held_out=0.02)
    assert abs(sum(marks) - 400) < 4 * (20_000 * 0.02 * 0.98) ** 0.5
    assert held_out(IDS[::-1], held_out=0.02) == marks[::-1]
    assert held_out(IDS[5:9]) == marks[5:9]
    assert held_out(IDS, held_out=0.02, seed=1) != marks
    assert held_out(IDS[:5], held_out=0.0) == [False] * 5


def test_a_larger_share_keeps_the_smaller_one():
    small, large = held_out(IDS, held_out=0.01), held_out(IDS, held_out=0.1)
    assert all(big for little, big in zip(small, large, strict=True) if little)


def test_a_cluster_is_on_one_side_and_null_means_alone():
    clusters = [IDS[i // 2] if i % 4 < 2 else None for i in range(2000)]
    marks = held_out(IDS[:2000], clusters, held_out=0.3)
    alone = held_out(IDS[:2000], held_out=0.3)
    for i, name in enumerate(clusters):
        assert marks[i] == (alone[i] if name is None else alone[IDS.index(name)])


def test_clusters_are_asked_for_where_they_are():
    assert Split(docs=DOCS).phases()[0].needs == ("id", "cluster_id")
    assert Split(docs=Read(paths=("unread",))).phases()[0].needs == ("id",)
