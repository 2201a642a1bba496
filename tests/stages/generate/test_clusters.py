"""k-means over vectors in memory: rows without a vector have no say, portraits are of members, weights are given."""

import numpy as np
import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.fingerprint import node_form
from pipeline.recipe import dump, parse
from siftloom.vocabulary import vocabulary
from stages.generate.cluster import Cluster
from stages.generate.train_clusters import TrainClusters, _Portraits
from stages.map import Map
from stages.read.read import Read

DOCS = Map(docs=Read(paths=("x",)), fn="a:b", writes={"vector": "float32[2]", "score": "float64"})


def table(rows, scores=None):
    vectors = pa.array(rows, pa.list_(pa.float32(), 2))
    ids = [f"d:{i}" for i in range(len(rows))]
    return pa.table({"id": ids, "text": ids, "vector": vectors, "score": scores or [0.0] * len(rows)})


def rounds(node, docs, folder, number=1):
    """(centres after some rounds, context)."""
    ctx = LocalContext(node, folder, {"docs": docs})
    for phase in node.phases()[: 1 + 2 * number]:
        ctx.run(phase)
    return np.load(ctx.path(f"move-{number - 1:03d}", "all", ".npy")), ctx


def test_a_row_without_a_vector_moves_no_centre(tmp_path):
    rows = [[5.0, 5.0], [5.2, 5.0], [9.0, 9.0], [9.2, 9.0]]
    node = TrainClusters(docs=DOCS, k=2)
    plain, _ = rounds(node, table(rows), tmp_path / "a")
    holes, ctx = rounds(node, table([*rows, *[None] * 50]), tmp_path / "b")
    assert np.array_equal(np.sort(plain, 0), np.sort(holes, 0))
    assert ctx.results["start", "all"].counts == {"documents": 4}


def test_a_portrait_is_of_the_members_of_its_cluster():
    chance = np.random.default_rng(3)
    rows, scores = chance.normal(size=(60, 2)), chance.normal(size=60)
    centres = np.array([[-1, 0], [1, 0], [50, 50]], np.float32)
    node = TrainClusters(docs=DOCS, k=3, scores=("score",))
    found = _Portraits(node, centres)
    for at in (0, 30):
        found.add(table(rows[at : at + 30].tolist(), scores[at : at + 30].tolist()))
    portraits = found.portraits(np.array([2, 0, 1]))
    nearest = ((rows.astype(np.float32)[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    assert [p["documents"] for p in portraits] == [0, (nearest == 0).sum(), (nearest == 1).sum()]
    assert [p["cluster"] for p in portraits] == [0, 1, 2]
    assert [p["middles"] for p in portraits] == [
        [None], [round(float(np.median(scores[nearest == 0])), 4)], [round(float(np.median(scores[nearest == 1])), 4)]
    ]  # fmt: skip


RECIPE = """
nodes:
  docs: {use: read, paths: [a.jsonl]}
  vectors: {use: map, docs: docs, fn: "a:b", writes: {vector: "float32[2]"}}
  centres: {use: train_clusters, docs: vectors, k: 4}
  found: {use: cluster, docs: vectors, model: centres, weights: {2: 0.5, 0: 3}}
"""


def test_weights_of_clusters_are_given_in_a_recipe_and_read_back():
    """The keys of a recipe's mappings are texts: `2; expected a whole number`."""
    recipe = parse(RECIPE, vocabulary())
    assert recipe.nodes["found"].weights == {2: 0.5, 0: 3.0}
    names = {node: name for name, node in recipe.nodes.items()}
    written = dump(list(names), names, vocabulary(), name="x")
    assert "{2: 0.5, 0: 3.0}" in written
    again = parse(written, vocabulary())
    form, other = (node_form(one.nodes["found"], lambda node: node.kind(), {}) for one in (recipe, again))
    assert form == other
    assert form["fields"]["weights"] == {"pairs": [[0, 3.0], [2, 0.5]]}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("{two: 1}", r"6:\d+: weights has the key 'two'; expected whole numbers as keys"),
        ("{2: -1}", r"6:\d+: weights\[2\] is -1; expected at least 0"),
        ("{1: 1, '01': 2}", r"6:\d+: weights has the key 1 twice"),
        ("{7: 1}", r"6:\d+: cluster.weights: cluster 7; expected a whole number from 0 to 3"),
    ],
)
def test_a_wrong_weight_has_its_place(weights, words):
    with pytest.raises(RecipeError, match=words):
        parse(RECIPE.replace("{2: 0.5, 0: 3}", weights), vocabulary())


def test_a_text_is_no_cluster():
    with pytest.raises(RecipeError, match=r"Cluster.weights: '2' \(text\); expected a whole number as a key"):
        Cluster(docs=Node(), model=TrainClusters(docs=Node(), k=4), weights={"2": 1.0}).check()  # type: ignore[dict-item]
