"""A folder for sentence-transformers gives the vectors of `embed`, of models that see one side and both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models import Llama
from pipeline.errors import RecipeError
from siftloom import Pipeline
from siftloom import stages as s
from stages.training.mask_tokens import MaskTokens

SMALL = Llama("1m", hidden=32, inter=48, layers=2, heads=2)
POOLINGS = ("mean", "weighted", "last", "first")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    texts = [f"{i} of the cats sat on the mat" + " and the dog on the log" * (i % 7) for i in range(40)]
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    docs = s.Read(paths=(f"{folder}/docs.jsonl",))
    words = s.Tokenizer(docs=docs, vocab_size=300, specials=("<mask>",))
    rows = s.Pack(docs=docs, tokenizer=words, length=48)
    how = {"rows": rows, "model": SMALL, "steps": 2, "batch_rows": 4, "device": "cpu"}
    models = {
        "one side": s.Pretrain(**how), "both sides": s.Pretrain(**how, collate=MaskTokens(), attend="document")
    }  # fmt: skip
    names = {f"folder {side} {pooling}": s.Export(model=model, form="sentence_transformers", pooling=pooling)
             for side, model in models.items() for pooling in POOLINGS}  # fmt: skip
    names["again"] = s.Embed(docs=docs, model=names["folder one side last"], as_="again", width=32)
    for side, model in models.items():
        for pooling in POOLINGS:
            docs = s.Embed(docs=docs, model=model, pooling=pooling, as_=f"{side[:4]}_{pooling}")
    names["vectors"] = docs
    return Pipeline(list(names.values()), name="vectors", store=str(folder / "store"), names=names).run(
        here=True, progress=False
    )


@pytest.mark.long
@pytest.mark.parametrize("side", ["one side", "both sides"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_vectors_are_those_of_embed(found, side, pooling, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    name = f"{side[:4]}_{pooling}"
    rows = found["vectors"].rows(["text", name])
    place = Path(found[f"folder {side} {pooling}"].path("folder", "all", "/modules.json")).parent
    theirs = SentenceTransformer(str(place), device="cpu").encode(rows["text"].to_pylist(), batch_size=7)
    ours = np.array(rows[name].to_pylist())
    assert np.abs(theirs - ours).max() < 1e-5
    assert len({tuple(row) for row in ours.round(4)}) > 5  # else any two pools might be alike
    assert "SentenceTransformer" in (place / "README.md").read_text()


@pytest.mark.long
def test_the_folder_is_a_model_for_other_nodes(found):
    again, ours = (
        found[node].rows([name])[name].to_pylist() for node, name in (("again", "again"), ("vectors", "one _mean"))
    )
    assert np.abs(np.array(again) - np.array(ours)).max() < 1e-6


def test_a_pooling_that_the_form_has_not_is_named():
    model = s.Pretrain(
        rows=s.Pack(docs=s.Read(paths=("a.jsonl",)), tokenizer=s.Tokenizer(docs=s.Read(paths=("a.jsonl",)))),
        model=SMALL,
        steps=1,
    )
    with pytest.raises(RecipeError, match=r"export\.pooling.*last with form: auto"):
        s.Export(model=model, pooling="last").check()
