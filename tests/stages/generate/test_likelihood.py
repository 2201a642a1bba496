"""The likelihood of answers, by the engine's own code: what the model says of each row alone, whatever the batch."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from run_here import Here
from small_models import folder_of

from models.adapters.bottleneck import Bottleneck
from models.adapters.lora import Lora
from models.optim_config import AdamW
from models.presets import Llama
from pipeline.errors import RecipeError
from stages.generate.embed import Embed
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.generate import Generate
from stages.generate.likelihood import Likelihood
from stages.generate.model_folder import ModelFolder
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.export import Export
from stages.training.hf_model import HfModel
from stages.training.pretrain import Pretrain


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
    nats, tokens = (np.array(found[name]) for name in ("answer_nats", "answer_tokens"))
    by_hand = [_by_hand(folder, f"Q: {row['question'] or ''}A:", f" {row['text']}") for row in rows]
    assert np.exp(nats.sum() / tokens.sum()) == pytest.approx(np.exp(sum(by_hand) / tokens.sum()), rel=1e-6)


def _by_hand(folder, prompt: str, answer: str) -> float:
    """-log p(answer | prompt), one token after the other."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    given = [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    total = 0.0
    for token in tokenizer(answer, add_special_tokens=False)["input_ids"]:
        with torch.no_grad():
            total -= float(model(torch.tensor([given[-63:]])).logits[0, -1].double().log_softmax(-1)[token])
        given.append(token)
    return total


def test_what_does_not_fit_is_named_before_anything_runs():
    docs = Read(paths=("unread",))
    fields = {"docs": docs, "model": ModelFolder(paths=("unread",)), "prompt": "{text}", "target": "{text}"}
    for wrong, said in [({"prompt": "why?"}, "likelihood.prompt"), ({"target": "{answer}"}, "no column 'answer'")]:
        with pytest.raises(RecipeError, match=said):
            Likelihood(**fields | wrong).check()
    with pytest.raises(RecipeError, match="model"):
        Likelihood(**fields | {"model": Endpoint(url="http://a/v1", model="m")})


@pytest.mark.long
def test_a_model_with_an_adapter_is_asked_with_its_adapter(tmp_path):
    rows = [{"id": f"{n}", "text": f"the dog {n} sat on the log and the cat on mat {n * n}"} for n in range(24)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs = Read(paths=(str(tmp_path / "a.jsonl"),))
    packed = Pack(docs=docs, tokenizer=Tokenizer(docs=docs, vocab_size=280), length=32)
    config = Llama("1m", hidden=32, inter=48, layers=1, heads=2)
    base = Pretrain(rows=packed, model=config, steps=1, batch_rows=2)
    tuned = Pretrain(
        rows=packed, model=config, start=base, adapter=Lora(rank=4), optimizer=AdamW(lr=0.3), steps=4, batch_rows=2
    )
    with pytest.raises(RecipeError, match=r"likelihood\.model: a Llama with Bottleneck.*evaluate takes the model"):
        Likelihood(docs=docs, model=replace(tuned, adapter=Bottleneck(width=8)), prompt="", target="{text}").check()
    models = (base, tuned, Export(model=tuned, form="merged"))
    nodes = [Likelihood(docs=docs, model=model, prompt="", target="{text}") for model in models]
    before, found, merged = (Here(node, tmp_path / "store").columns()["likelihood_nats"].to_numpy() for node in nodes)
    assert np.allclose(found, merged, rtol=1e-6)
    assert np.abs(found - before).mean() > 0.1
