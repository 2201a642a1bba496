"""The likelihood of answers, by the engine's own code: what the model says of each row alone, whatever the batch."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from run_here import Here
from small_models import folder_of

from pipeline.errors import RecipeError
from stages.generate.embed import Embed
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.generate import Generate
from stages.generate.likelihood import Likelihood
from stages.generate.model_folder import ModelFolder
from stages.read.read import Read
from stages.training.hf_model import HfModel


def test_every_row_has_the_loss_of_its_answer_behind_its_question(tmp_path):
    folder = folder_of(tmp_path / "folder")
    words = "the cat sat on a mat and dog log".split()
    rows = [
        {"id": f"{n}", "text": " ".join(words[: 1 + n % 7]), "question": None if n == 3 else "the dog " * (n % 30)}
        for n in range(23)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs = Read(paths=(str(tmp_path / "a.jsonl"),), keep=("question",))
    node = Likelihood(
        docs=docs, model=ModelFolder(paths=(f"{folder}/*",)), prompt="Q: {question}A:", target=" {text}", batch_rows=4,
        as_="answer",
    )  # fmt: skip
    found = Here(node, tmp_path / "store").columns().to_pydict()
    lm = FolderLM(folder, batch_rows=1)
    alone = [lm.nll([f"Q: {row['question'] or ''}A:"], [f" {row['text']}"])[0] for row in rows]
    assert np.allclose(found["answer_nats"], [one.nats for one in alone], rtol=1e-5)
    assert found["answer_tokens"] == [one.tokens for one in alone]
    assert found["answer_bytes"] == [len(row["text"]) + 1 for row in rows]
    assert len({round(nats, 3) for nats in found["answer_nats"]}) > 15, "the question counts"
    ours = replace(node, model=HfModel(paths=(f"{folder}/*",)))  # found by what it gives: it is no folder any more
    assert np.allclose(Here(ours, tmp_path / "store").columns()["answer_nats"], found["answer_nats"], rtol=1e-5)
    vectors = Embed(docs=docs, model=ours.model, batch_rows=4)
    assert Here(vectors, tmp_path / "store").columns()[vectors.as_].type.list_size == 32, "as its folder says"
    written = Generate(docs=docs, model=ours.model, prompt="{text}", max_tokens=4, temperature=0.0)
    Here(written, tmp_path / "store")


def test_what_does_not_fit_is_named_before_anything_runs():
    docs = Read(paths=("unread",))
    fields = {"docs": docs, "model": ModelFolder(paths=("unread",)), "prompt": "{text}", "target": "{text}"}
    for wrong, said in [({"prompt": "why?"}, "likelihood.prompt"), ({"target": "{answer}"}, "no column 'answer'")]:
        with pytest.raises(RecipeError, match=said):
            Likelihood(**fields | wrong).check()
    with pytest.raises(RecipeError, match="model"):
        Likelihood(**fields | {"model": Endpoint(url="http://a/v1", model="m")})
