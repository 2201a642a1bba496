"""Perplexity of documents: prose of the training kind below other text, held-out rows unseen, limits kept."""

import gc

import numpy as np
import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.chance import draws
from stages.quality.perplexity import Perplexity, TrainNgram, sentences
from stages.read.read import Read

DOCS = Read(paths=("docs",), keep=("held_out:bool",))
WORDS = "the river went on past the old mill and she thought of her brother while evening fell over fields".split()


def table(count=200, seed=0, **columns):
    rng = np.random.default_rng(seed)
    texts = ["\n".join(" ".join(rng.choice(WORDS, 9)) for _ in range(3)) for _ in range(count)]
    return pa.table({"id": [f"{seed}:{i}" for i in range(count)], "text": texts, **columns})


def train(folder, docs, **fields):
    node = TrainNgram(docs=DOCS, **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": docs})
    return node, ctx, ctx.run_all()["all"]


def perplexities(trained, texts, folder):
    node, ctx, _ = trained
    scorer = Perplexity(docs=DOCS, model=node)
    scorer.check()
    reader = LocalContext(scorer, folder)
    reader.path = lambda phase, key, ext, of: ctx.path(phase, key, ext)
    return scorer.open(reader)(pa.table({"text": pa.array(texts, pa.string())})).added["perplexity"].to_pylist()


@pytest.mark.parametrize("unit", ["word", "char"])
def test_text_of_the_kind_is_less_surprising_than_other_text(tmp_path, unit):
    trained = train(tmp_path / "a", table(), unit=unit)
    usual, shuffled, other, empty = perplexities(
        trained, [table(5, 9)["text"][0].as_py(), "lliw ehT nialp", "zq0x 77# ;; ret++ void*", " \n "], tmp_path / "b"
    )
    assert usual < shuffled
    assert usual < other
    assert empty is None


def test_rows_that_are_held_out_are_not_counted(tmp_path):
    marks = [i % 3 == 0 for i in range(200)]
    docs = table(held_out=marks)
    texts = ["secret words only" if mark else text for mark, text in zip(marks, docs["text"].to_pylist(), strict=True)]
    altered = docs.set_column(1, "text", pa.array(texts))
    files = [train(tmp_path / str(i), t)[1].path("train", "all", ".npz") for i, t in enumerate((docs, altered))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_order_of_documents_changes_nothing_and_words_are_bounded(tmp_path):
    docs = table()
    for name, given in (("a", docs), ("b", docs.take(list(range(199, -1, -1))))):
        result = train(tmp_path / name, given, max_words=500)[2]
    assert 500 <= result.counts["words"] < 530
    assert (tmp_path / "a/train/all.npz").read_bytes() == (tmp_path / "b/train/all.npz").read_bytes()


def test_sentences_are_lines():
    assert sentences("The Cat\n\n sat  on", "word", 100) == [["the", "cat"], ["sat", "on"]]
    assert sentences("a b\nc", "char", 100) == [["a", "_", "b"], ["c"]]
    assert sentences("abc def", "word", 5) == [["abc", "d"]]


def test_no_text_and_wrong_models_are_named(tmp_path):
    with pytest.raises(DataError, match=r"train_ngram\.docs"):
        train(tmp_path, table(3, held_out=[True] * 3))
    with pytest.raises(RecipeError, match="gives an n-gram model, as train_ngram"):
        Perplexity(docs=DOCS, model=DOCS)


def test_no_more_is_held_than_what_may_be_counted(tmp_path, monkeypatch):
    """And the bytes are those of counting the beginning of all documents in the order of their draws."""
    from stages.quality import perplexity

    monkeypatch.setattr(perplexity, "SLACK", 1000)
    docs, held = table(3000), []
    drawn = TrainNgram._drawn

    def watched(self, ctx):
        for one in drawn(self, ctx):
            held.append(
                sum(isinstance(each, perplexity.Drawn) for each in gc.get_objects()) if not len(held) % 500 else 0
            )
            yield one

    monkeypatch.setattr(TrainNgram, "_drawn", watched)
    result = train(tmp_path / "a", docs, max_words=500)[2]
    assert max(held) < 120
    names = docs["id"].to_pylist()
    first = np.argsort(draws(names, 0, "train_ngram"))[: result.counts["documents"]]
    assert 500 <= result.counts["words"] < 530
    train(tmp_path / "b", docs.take(first), max_words=10**6)
    assert (tmp_path / "a/train/all.npz").read_bytes() == (tmp_path / "b/train/all.npz").read_bytes()
