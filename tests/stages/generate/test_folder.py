"""A folder's model against transformers itself: greedy text, likelihoods, vectors; and independence of the batch."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import folder_of
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from pipeline.errors import DataError
from stages.generate.embed import Embed
from stages.generate.endpoint import Endpoint
from stages.generate.first_pass import shared_beginning
from stages.generate.folder import FolderLM
from stages.generate.lm import Sampling
from stages.generate.model_folder import ModelFolder
from stages.read.read import Read
from stages.tokens.chat import BEGIN, END, TEMPLATE, Chat
from stages.tokens.definition import extended
from stages.tokens.encoder import Encoder
from stages.tokens.sample_ids import SampleEncoder

PROMPTS = ["the cat", "a", "the dog sat on the log and the cat sat on", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("lm") / "model")


def test_greedy_answers_are_those_of_transformers(folder) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    answers = FolderLM(folder, batch_rows=2).generate(PROMPTS, PROMPTS, Sampling(temperature=0.0, max_tokens=12))
    for prompt, (answer,) in zip(PROMPTS, answers, strict=True):
        ids = tokenizer("<end>" + prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12,
                                   pad_token_id=0)  # fmt: skip
        new = found[0, ids.shape[1] :].tolist()
        assert answer.text == tokenizer.decode([t for t in new if t != 0])
        assert answer.prompt_tokens == ids.shape[1]
        assert answer.finish == ("stop" if 0 in new else "length")


def test_draws_hang_on_the_key_and_not_on_the_batch(folder) -> None:
    how, lm = Sampling(samples=3, temperature=1.0, top_p=0.9, top_k=40, max_tokens=8), FolderLM(folder, batch_rows=3)
    together = lm.generate(PROMPTS, ["k0", "k1", "k2", "k3"], how)
    alone = [FolderLM(folder, batch_rows=1).generate([p], [f"k{i}"], how)[0] for i, p in enumerate(PROMPTS)]
    assert together == alone
    assert len({answer.text for answer in together[0]}) == 3
    assert lm.generate(PROMPTS[:1], ["other"], how)[0] != together[0]


def test_what_prompts_have_in_common_is_read_once(folder) -> None:
    """A common beginning, and the samples of a prompt: each token goes through the model once, and answers stay."""
    shots = "the dog = a log\nthe mat = a cat\n" * 3
    prompts = [f"{shots}{text}" for text in ("the cat", "a", "the dog sat on", "the cat")]
    lm, read = FolderLM(folder, batch_rows=12), []
    lm.causal.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"].shape), with_kwargs=True)
    how = Sampling(samples=3, temperature=0.9, top_k=20, max_tokens=1)
    keys = ["k0", "k1", "k2", "k3"]
    lm.generate(prompts, keys, how)
    ids = [lm.prompt_ids(prompt, None) for prompt in prompts]
    common = len(lm.prompt_ids(shots, None))
    assert common > 16
    assert read == [(1, common), (3, max(map(len, ids)) - common)]
    for sampling in (replace(how, max_tokens=8), Sampling(temperature=0.0, max_tokens=8)):
        found = lm.generate(prompts, keys, sampling)
        alone = [
            FolderLM(folder, batch_rows=1).generate([p], [k], sampling)[0] for p, k in zip(prompts, keys, strict=True)
        ]
        assert [[a.ids for a in one] for one in found] == [[a.ids for a in one] for one in alone]
        assert [a.prompt_tokens for one in found for a in one] == [a.prompt_tokens for one in alone for a in one]
        assert [a.nats for one in found for a in one] == pytest.approx([a.nats for one in alone for a in one], rel=1e-5)


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1] * 20], 0),
        ([[1] * 20, [1] * 30], 19),
        ([[1] * 20, [1] * 17 + [2]], 17),
        ([[1] * 20, [1] * 12 + [2], [1] * 20], 0),
        ([[1] * 20 + [3], [1] * 20 + [2, 4], [1] * 20 + [5]], 20),
    ],
)
def test_a_beginning_leaves_a_token_of_each_prompt(prompts, shared) -> None:
    assert shared_beginning(prompts) == shared


def test_a_stop_text_ends_an_answer_and_is_left_out(folder) -> None:
    lm = FolderLM(folder, batch_rows=4)
    (whole,) = lm.generate(["the cat"], ["k"], Sampling(temperature=0.0, max_tokens=12))[0]
    middle = whole.text[3:5]
    (cut,) = lm.generate(["the cat"], ["k"], Sampling(temperature=0.0, max_tokens=12, stop=(middle,)))[0]
    assert cut.text == whole.text[: whole.text.index(middle)]
    assert cut.finish == "stop"


def test_an_answer_tells_its_tokens_and_their_likelihood_and_can_be_gone_on_from(folder) -> None:
    lm, how = FolderLM(folder, batch_rows=3), Sampling(temperature=0.8, max_tokens=6, top_k=5)
    answers = [one for (one,) in lm.generate(PROMPTS, PROMPTS, how)]
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        [target] = lm.nll([prompt], [answer.text])
        assert lm.tokenizer.decode(answer.ids) == answer.text
        assert len(answer.ids) == answer.tokens
        if lm._ids(answer.text) == list(answer.ids):
            assert answer.nats == pytest.approx(target.nats, rel=1e-5)
    greedy = Sampling(temperature=0.0, max_tokens=8)
    [[whole]] = lm.generate(["the cat"], ["k"], greedy)
    begun = [0, *lm._ids("the cat"), *whole.ids[:3]]
    [[rest]] = lm.generate([begun], ["k"], Sampling(temperature=0.0, max_tokens=5))
    assert whole.ids[3:] == rest.ids
    [[begun_text], [from_ids]] = lm.generate(["a", [0, *lm._ids("a")]], ["k", "k"], greedy)
    assert begun_text == from_ids


def test_a_message_is_laid_out_as_the_folder_says_and_a_typed_special_token_stays_text(tmp_path) -> None:
    chat = folder_of(tmp_path / "chat", more=2)
    with pytest.raises(DataError, match="no chat template in the folder"):
        FolderLM(chat, batch_rows=1).turn("x")
    tokens = json.loads((chat / "tokenizer.json").read_text())
    text, ids = extended(json.dumps(tokens), [BEGIN, END])
    (chat / "tokenizer.json").write_text(text)
    settings = json.loads((chat / "tokenizer_config.json").read_text())
    (chat / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    lm, said = FolderLM(chat, batch_rows=1), f"the cat {END} sat <end>"
    found = lm.turn(said)
    talk = json.dumps([{"role": "user", "content": said}, {"role": "assistant", "content": "x"}])
    encoder = Encoder(text, agree=False)
    [[piece]] = SampleEncoder(encoder, Chat(), 0, 0).encode([{"messages": talk}])
    assert found == piece.ids[: len(found)].tolist(), "as pack_samples lays it out"
    assert not piece.learned[: len(found)].any()
    assert piece.learned[len(found)]
    assert found.count(ids - 1) == 1, "the format's own"


def test_likelihoods_are_sums_over_the_targets_tokens(folder) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = FolderLM(folder, batch_rows=2).nll(["the cat", "", "x"], [" sat on the mat", "a dog", ""])
    for prompt, target, one in zip(["the cat", ""], [" sat on the mat", "a dog"], found, strict=False):
        before, after = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("<end>" + prompt, target))
        labels = torch.tensor([[-100] * len(before) + after])
        with torch.no_grad():
            mean = model(torch.tensor([before + after]), labels=labels).loss
        assert one.nats == pytest.approx(float(mean) * len(after), rel=1e-5)
        assert one.tokens == len(after)
    assert (found[2].nats, found[2].tokens) == (0.0, 0)


@pytest.mark.parametrize("pooling", ["mean", "last", "first", "static"])
def test_vectors_are_pooled_from_the_last_states_whatever_the_batch(folder, pooling) -> None:
    texts = ["the cat sat on the mat", "a", "the dog and the cat sat on the small mat of words"]
    found = FolderLM(folder, batch_rows=3).embed(texts, pooling)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for text, vector in zip(texts, found, strict=True):
        ids = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model(input_ids=ids["input_ids"]).last_hidden_state[0]
        static = model.get_input_embeddings()(ids["input_ids"][0]).mean(0).detach()
        expected = {"mean": states.mean(0), "last": states[-1], "first": states[0], "static": static}[pooling]
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(expected, dim=0).numpy(), atol=2e-6)
    assert FolderLM(folder, batch_rows=3).embed([], pooling).shape == (0, 32)


def test_a_folder_without_weights_or_tokenizer_is_named(folder, tmp_path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(DataError, match=r"bare: no tokenizer"):
        FolderLM(tmp_path / "bare", batch_rows=1)


def test_a_tokenizer_without_an_end_is_named(tmp_path):
    folder = folder_of(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    lm = FolderLM(folder, batch_rows=2)
    for ask in (lambda: lm.generate(["a"], ["k"], Sampling()), lambda: lm.nll(["a"], ["b"])):
        with pytest.raises(DataError, match="no token that ends a text"):
            ask()


def test_answers_that_leave_no_room_for_a_prompt_are_named(folder) -> None:
    with pytest.raises(DataError, match="64 tokens of an answer from a model that sees 64"):
        FolderLM(folder, batch_rows=2).generate(["the cat"], ["k"], Sampling(max_tokens=64))


def test_documents_of_one_length_are_padded_together(folder):
    """What `embed` hands to a model at once is cut into batches by length, unless something else bounds its batches."""
    model = ModelFolder(paths=("model/*",))
    fields = {"docs": Read(paths=("a.jsonl",)), "model": model, "width": 32, "batch_rows": 4, "commit_rows": 100}
    [phase] = Embed(**fields).phases()
    assert (phase.batch_rows, phase.commit_rows) == (64, 128)
    [phase] = Embed(**fields, batch_tokens=500).phases()
    assert (phase.batch_rows, phase.commit_rows) == (4, 100)
    [phase] = Embed(**fields | {"model": Endpoint(url="http://127.0.0.1:8000/v1", model="m")}).phases()
    assert phase.batch_rows == 4
    lm, seen = FolderLM(folder, batch_rows=4), []
    lm.encoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["attention_mask"]), with_kwargs=True
    )
    texts = ["the cat sat on the mat " * (1 + 3 * (i % 2)) for i in range(16)]
    lm.embed(texts, "mean")
    assert [len(mask) for mask in seen] == [4] * 4
    assert all(mask.all() for mask in seen), "two lengths, and none of them is filled up to the other"
    seen.clear()
    lm.embed(["mat " * 4, "on " * 5, "on " * 4, "on " * 5] * 2, "mean")  # four tokens of more letters than five have
    assert sorted(mask.shape[1] for mask in seen)[0] < sorted(mask.shape[1] for mask in seen)[1]
    assert all(mask.all() for mask in seen), "as long as its tokens are many, not its letters"
