"""Answers scored through the engine: documents are scored or skipped with a reason, and the answer alone counts."""

import json

import pyarrow.parquet as pq
import pytest

from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.tokens.sample import Answer
from stages.training.evaluate import Evaluate
from stages.training.hf_model import HfModel
from tests.stages.run_here import Here
from tests.stages.training.test_hf_model import folder_of


def test_documents_are_scored_by_their_answers_or_skipped_by_reason(tmp_path):
    folder_of(tmp_path / "folder")  # it sees 16 tokens at once
    lines = [
        {"id": "whole", "text": "tide", "question": "sea"},
        {"id": "cut", "text": "tide", "question": "salt and rope " * 9},
        {"id": "empty question", "text": "tide"},
        {"id": "long", "text": "gull" * 20, "question": "sea"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    docs = Read(paths=(str(tmp_path / "a.jsonl"),), keep=("question", "lang"))
    model = HfModel(paths=(f"{tmp_path}/folder/*",))
    asked = Evaluate(model=model, docs=docs, which="all", samples=0, sample=Answer(prompt="question"))
    done = Here(asked, tmp_path / "store")
    data = tmp_path / "store" / done.state.folder(asked) / "data"
    found = pq.read_table(data / "score/all.parquet").to_pydict()
    assert found["bytes"] == [4, 4, 4]
    assert len(set(found["tokens"])) == 1
    assert len({round(nats, 4) for nats in found["nats"]}) == 3, "the question counts"
    manifest = done.state.manifest(asked)
    assert manifest is not None
    counts = {name: number for name, number in manifest["counts"]["score"].items() if number}
    assert counts == {"documents": 4, "scored": 3, "skipped.too_long": 1}
    with pytest.raises(RecipeError, match=r"evaluate\.sample: no column 'answer'"):
        Evaluate(model=model, docs=docs, which="all", sample=Answer(answer="answer", prompt="question")).check()
