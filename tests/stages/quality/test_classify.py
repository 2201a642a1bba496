"""A classifier of topics learns three of them, and leaves unlabelled and held-out rows out."""

import numpy as np
import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.quality.classify import Classify, TrainClassifier
from stages.read.read import Read

DOCS = Read(paths=("docs",), keep=("kind:str", "held_out:bool"))
TOPICS = {
    "sea": "wave boat harbour sail fish tide captain anchor".split(),
    "kitchen": "flour oven butter knife salt dough pan soup".split(),
    "law": "court judge clause appeal statute contract party witness".split(),
}


def table(count=120, seed=0):
    rng = np.random.default_rng(seed)
    kinds = [list(TOPICS)[i % 3] for i in range(count)]
    texts = [" ".join(rng.choice(TOPICS[kind], 12)) for kind in kinds]
    return pa.table({"id": [f"{seed}:{i}" for i in range(count)], "text": texts, "kind": kinds})


def train(folder, docs, **fields):
    node = TrainClassifier(**{"docs": DOCS, "label": "kind", "buckets": 5000, "epochs": 25, "lr": 0.5, **fields})
    node.check()
    ctx = LocalContext(node, folder, {"docs": docs})
    return node, ctx, ctx.run_all()["all"]


def test_three_topics_are_learned_and_named(tmp_path):
    node, ctx, result = train(tmp_path / "a", table(400))
    assert result.facts["labels"] == sorted(TOPICS)
    assert result.facts["agreement"] > 0.95
    tagger = Classify(docs=DOCS, model=node)
    tagger.check()
    reader = LocalContext(tagger, tmp_path / "b")
    reader.path = lambda phase, key, ext, of: ctx.path(phase, key, ext)
    texts = ["the captain saw the tide and the boat", "x", "the judge read the clause to the witness"]
    found = tagger.open(reader)(pa.table({"text": texts})).added
    assert found["topic"].to_pylist() == ["sea", None, "law"]
    assert found["topic_p"].to_pylist()[0] > 0.8
    assert tagger.open(reader)(pa.table({"text": pa.array([], pa.string())})).added["topic"].to_pylist() == []


def test_the_source_itself_may_be_the_label(tmp_path):
    docs = table(300).rename_columns(["id", "text", "source"])
    assert train(tmp_path, docs, label="source")[2].facts["labels"] == sorted(TOPICS)


def test_rows_without_a_label_and_held_out_rows_are_not_seen(tmp_path):
    docs = table(300)
    blank = [None if i % 5 == 0 else kind for i, kind in enumerate(docs["kind"].to_pylist())]
    marks = [i % 7 == 0 for i in range(300)]
    unused = [kind is None or mark for kind, mark in zip(blank, marks, strict=True)]
    docs = docs.set_column(2, "kind", pa.array(blank)).append_column("held_out", pa.array(marks))
    texts = ["zebra " * 9 if skip else text for skip, text in zip(unused, docs["text"].to_pylist(), strict=True)]
    altered = docs.set_column(1, "text", pa.array(texts))
    files = [train(tmp_path / str(i), t)[1].path("train", "all", ".bin") for i, t in enumerate((docs, altered))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_balance_takes_as_many_of_each_as_the_rarest_has(tmp_path):
    docs = table(300)
    rare = docs.filter(pa.array([i % 3 != 0 or i < 90 for i in range(300)]))
    counts = train(tmp_path, rare, balance=True)[2].counts
    assert counts["trained"] + counts["tested"] == 90


def test_one_label_and_odd_labels_and_missing_columns_are_named(tmp_path):
    docs = table(60)
    with pytest.raises(DataError, match="two or more"):
        train(tmp_path, docs.set_column(2, "kind", pa.array(["sea"] * 60)))
    with pytest.raises(DataError, match="white space"):
        train(tmp_path, docs.set_column(2, "kind", pa.array(["a b", "c"] * 30)))
    with pytest.raises(RecipeError, match="no column 'nothing'"):
        TrainClassifier(docs=DOCS, label="nothing").check()
    with pytest.raises(RecipeError, match="gives a classifier, as train_classifier"):
        Classify(docs=DOCS, model=DOCS)
