"""A linear head: it finds the weights that made the labels, leaves unusable rows out, and marks documents."""

import json

import numpy as np
import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.map import Map
from stages.quality.head import Head, TrainHead
from stages.read.read import Read

DOCS = Map(
    docs=Read(paths=("docs",), keep=("mark:float64", "held_out:bool")), fn="a:b", writes={"vector": "float32[3]"}
)
WEIGHTS, CONSTANT = np.array([1.0, -2.0, 0.5]), 3.0


def table(count=200, noise=0.0):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, 3)).astype(np.float32)
    marks = vectors @ WEIGHTS + CONSTANT + noise * rng.normal(size=count)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 3)
    return pa.table({"id": [f"0:{i}" for i in range(count)], "vector": column, "mark": marks})


def train(folder, docs, **fields):
    node = TrainHead(docs=DOCS, label="mark", **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": docs})
    return node, ctx, ctx.run_all()["all"]


def test_the_weights_that_made_the_labels_are_found(tmp_path):
    node, ctx, result = train(tmp_path, table(), penalty=0.0)
    assert np.load(ctx.path("train", "all", ".npy")) == pytest.approx([*WEIGHTS, CONSTANT], abs=1e-5)
    assert result.facts["correlation"] == pytest.approx(1.0)
    assert json.loads(ctx.path("train", "all", ".json").read_text())["error"] < 1e-5
    marker = Head(docs=DOCS, model=node)
    marker.check()
    reader = LocalContext(marker, tmp_path)
    reader.path = lambda phase, key, ext, of: ctx.path(phase, key, ext)
    column = pa.array([[0.0, 0.0, 0.0], None, [1.0, 1.0, 0.0]], pa.list_(pa.float32(), 3))
    found = marker.open(reader)(pa.table({"vector": column})).added["quality"].to_pylist()
    assert found[1] is None
    assert [found[0], found[2]] == pytest.approx([3.0, 2.0], abs=1e-4)


def test_a_mark_hangs_on_no_other_document_of_the_batch(tmp_path):
    """Where much cancels, the last bits of a product of matrices are all there is, and they hang on its shape."""
    rng = np.random.default_rng(0)
    weights, vector = rng.standard_normal(385), rng.standard_normal(384).astype(np.float32)
    weights[-1] = -(vector.astype(np.float64) @ weights[:-1])
    np.save(tmp_path / "weights.npy", weights)
    marker = Head(docs=DOCS, model=TrainHead(docs=DOCS, label="mark"))
    reader = LocalContext(marker, tmp_path)
    reader.path = lambda phase, key, ext, of: tmp_path / "weights.npy"
    rows = marker.open(reader)
    found = {
        mark
        for count in (1, 2, 3, 7, 64)
        for mark in rows(pa.table({"vector": pa.array([vector] * count, pa.list_(pa.float32(), 384))})).added["quality"]
    }
    assert len({mark.as_py() for mark in found}) == 1


def test_rows_without_label_or_vector_or_held_out_are_not_used(tmp_path):
    docs = table(300)
    marks = [None if i % 5 == 0 else m for i, m in enumerate(docs["mark"].to_pylist())]
    held = [i % 7 == 0 for i in range(300)]
    marks = [1e9 if h and m is not None else m for h, m in zip(held, marks, strict=True)]
    vectors = [None if i % 11 == 0 else v for i, v in enumerate(docs["vector"].to_pylist())]
    docs = docs.set_column(2, "mark", pa.array(marks)).append_column("held_out", pa.array(held))
    docs = docs.set_column(1, "vector", pa.array(vectors, pa.list_(pa.float32(), 3)))
    _, ctx, result = train(tmp_path, docs, penalty=0.0)
    assert np.load(ctx.path("train", "all", ".npy")) == pytest.approx([*WEIGHTS, CONSTANT], abs=1e-4)
    assert sum(result.counts.values()) == sum(i % 5 > 0 and i % 7 > 0 and i % 11 > 0 for i in range(300))


def test_a_penalty_shrinks_the_weights_and_not_the_constant(tmp_path):
    weights = np.load(train(tmp_path, table(noise=1.0), penalty=10.0)[1].path("train", "all", ".npy"))
    assert np.abs(weights[:3]).max() < 0.3
    assert weights[3] == pytest.approx(CONSTANT, abs=0.5)


def test_too_few_documents_and_wrong_columns_are_named(tmp_path):
    with pytest.raises(DataError, match="20 or more"):
        train(tmp_path, table(15))
    with pytest.raises(RecipeError, match="no column 'nothing'"):
        TrainHead(docs=DOCS, label="nothing").check()
    with pytest.raises(RecipeError, match="gives a head, as train_head"):
        Head(docs=DOCS, model=DOCS)
