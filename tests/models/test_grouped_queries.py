"""Heads of keys and values that heads of queries share, and a head that is the embedding: against transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from models import files
from models.accounting import count_flops, count_parameters, parameter_names
from models.batch import Batch
from models.build import build, structure
from models.convert import export, read_dense
from models.generate import TokenSampling, generate
from models.hf_settings import llama_of
from models.memory import state_bytes
from models.optim_config import AdamW, Constant
from models.presets import Llama, Lost
from models.schedules import learning_rate_factor
from models.starting import no_way
from models.transfer import start_from
from tests.models.calls import logits, losses
from tests.models.test_convert import loaded

WORDS, LENGTH = 200, 64
SHARED = [Llama("1m", layers=2, kv_heads=n, tied=tied) for n in (1, 2, 4) for tied in (False, True)]
LOST = Lost("1m", layers=2, rank=16, density=0.05, kv_heads=2, tied=True)


def name(config: Llama) -> str:
    return f"{type(config).__name__}-{config.kv_heads}-{'tied' if config.tied else 'untied'}"


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, WORDS, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("config", [*SHARED, LOST, replace(LOST, activation="none")], ids=name)
def test_the_exported_folder_is_the_same_model_in_transformers(config, tmp_path, monkeypatch) -> None:
    ours = build(config, WORDS, LENGTH, seed=3)
    export(ours, tmp_path)
    theirs = loaded(tmp_path, tmp_path / "cache", monkeypatch)
    assert theirs.config.num_key_value_heads == config.kv_heads
    batch = ids(2, 40)
    with torch.no_grad():
        torch.testing.assert_close(logits(ours, batch), theirs(batch).logits, rtol=0, atol=1e-5)
    held = load_file(tmp_path / "model.safetensors")
    assert ("lm_head.weight" in held) is not config.tied
    tied = theirs.lm_head.weight is theirs.get_input_embeddings().weight
    assert tied is config.tied


@pytest.mark.parametrize("config", SHARED, ids=name)
def test_gradients_are_those_of_transformers_and_a_folder_comes_back(config, tmp_path, monkeypatch) -> None:
    ours = build(config, WORDS, LENGTH, seed=3)
    export(ours, tmp_path)
    theirs = loaded(tmp_path, tmp_path / "cache", monkeypatch).train()
    batch = ids(3, 33)
    losses(ours, batch[:, :-1], batch[:, 1:]).mean().backward()
    theirs(batch, labels=batch).loss.backward()
    grads = {n.removeprefix("model."): p.grad for n, p in theirs.named_parameters()}
    assert grads.keys() == {n for n, _ in ours.named_parameters()}
    for n, parameter in ours.named_parameters():
        assert (parameter.grad - grads[n]).norm() <= 1e-5 * grads[n].norm(), n
    settings = theirs.config.to_dict() | {"eos_token_id": 0}
    found = llama_of(settings)
    assert (found.shape, found.tied) == (config.shape, config.tied)
    again = build(found, WORDS, LENGTH, seed=9, dense=read_dense(tmp_path, found))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("config", [SHARED[0], SHARED[3], LOST], ids=name)
def test_writing_with_a_cache_is_writing_without_one(config) -> None:
    model = build(config, WORDS, LENGTH, seed=3).eval()
    [written] = generate(model, [[5, 6, 7]], 20, end_id=0, sampling=TokenSampling(temperature=0.0))
    text = [0, 5, 6, 7]
    with torch.no_grad():
        for token in written:
            assert logits(model, torch.tensor([text]))[0, -1].argmax() == token
            text.append(token)
    assert len(written) == 20


@pytest.mark.parametrize("length", [40, 1100], ids=["mask", "groups"])
def test_documents_in_a_row_are_documents_alone(length) -> None:
    model = build(SHARED[3], WORDS, 2048, seed=3)
    row = torch.randint(0, WORDS, (1, length + 1), generator=torch.Generator().manual_seed(1))
    sizes = torch.tensor([9, length - 20, 11])
    packed = losses(model, row[:, :-1], row[:, 1:], torch.repeat_interleave(torch.arange(3), sizes)[None])[0]
    start = 0
    for size in sizes.tolist():
        alone = losses(model, row[:, start : start + size], row[:, start + 1 : start + size + 1])[0]
        torch.testing.assert_close(packed[start : start + size], alone, rtol=0, atol=1e-5)
        start += size


@pytest.mark.parametrize("config", [*SHARED, LOST], ids=name)
def test_counts_names_and_bytes_are_those_of_the_module(config) -> None:
    model = structure(config, WORDS, LENGTH, "meta")
    sizes = {n: p.numel() for n, p in model.named_parameters()}
    assert sorted(parameter_names(config)) == sorted(sizes)
    assert count_parameters(config, WORDS).total == sum(sizes.values())
    assert state_bytes(config, WORDS).weights == 4 * sum(sizes.values())
    plain = replace(config, kv_heads=None, tied=False)
    assert count_flops(config, WORDS, 8).head == count_flops(plain, WORDS, 8).head
    assert count_flops(config, WORDS, 8).attention == count_flops(plain, WORDS, 8).attention


def test_the_llamas_that_people_have_count_what_they_are_known_to() -> None:
    smollm2 = Llama("1m", hidden=576, inter=1536, layers=30, heads=9, kv_heads=3, tied=True)
    assert count_parameters(smollm2, 49_152).total == 134_515_008
    yi_6b = Llama("7b", kv_heads=4)
    assert count_parameters(yi_6b, 64_000).total == 6_061_035_520
    llama_3_8b = Llama("7b", inter=14_336, kv_heads=8, rope_theta=500_000.0)
    assert count_parameters(llama_3_8b, 128_256).total == 8_030_261_248


def test_a_file_says_what_it_is_and_an_old_one_reads_as_before(tmp_path) -> None:
    model = build(SHARED[3], WORDS, LENGTH, seed=3)
    files.save(tmp_path / "m", model)
    again = files.load(tmp_path / "m")
    assert again.config == SHARED[3]
    assert torch.equal(logits(again, ids(1, 9)), logits(model, ids(1, 9)))
    assert torch.equal(files.head(tmp_path / "m"), model.embed_tokens.weight)
    assert not {"kv_heads", "tied"} & files.describe(Llama("1m")).keys()


def test_a_tied_model_starts_one_with_a_head_of_its_own_and_not_the_other_way(tmp_path) -> None:
    tied = build(SHARED[1], WORDS, LENGTH, seed=3)
    files.save(tmp_path / "m", tied)
    untied = start_from(tmp_path / "m", SHARED[0], WORDS, LENGTH, seed=9).model
    assert torch.equal(logits(untied, ids(1, 9)), logits(tied, ids(1, 9)))
    assert untied.lm_head is not None
    assert untied.lm_head.weight.data_ptr() != untied.embed_tokens.weight.data_ptr()
    assert no_way(SHARED[0], SHARED[1]) == (
        "a model with a head of its own", "one whose head is its embedding, or tied: false"
    )  # fmt: skip
    assert "kv_heads 1" in no_way(SHARED[0], SHARED[2])[0]


def test_one_tensor_is_trained_once() -> None:
    model = build(SHARED[5], WORDS, LENGTH, seed=0)
    optimiser = AdamW().make(model)
    held = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert len(held) == len(set(held)) == len(list(model.parameters()))


@pytest.mark.parametrize(("fields", "said"), [
    ({"kv_heads": 3}, r"kv_heads: found 3, expected a divisor of heads \(4\)"),
    ({"kv_heads": 0}, "at least 1"),
])  # fmt: skip
def test_heads_that_cannot_be_shared_out_are_named(fields, said) -> None:
    with pytest.raises(ValueError, match=said):
        Llama("1m", **fields)


def test_a_rank_above_the_width_of_the_keys_is_named() -> None:
    with pytest.raises(ValueError, match="rank: found 64, expected 1 to 32"):
        Lost("1m", rank=64, density=0.05, kv_heads=1)


def test_a_constant_learning_rate_warms_up_and_stays() -> None:
    assert [learning_rate_factor(Constant(), step, 4) for step in range(4)] == [1.0] * 4
    assert [learning_rate_factor(Constant(warmup=0.5), step, 4) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="warmup"):
        Constant(warmup=1.5)


def test_a_tied_model_sees_both_sides_in_transformers(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForMaskedLM

    model = build(SHARED[3], WORDS, LENGTH, seed=3)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "mask_token_id": 1}
    export(model, tmp_path, form="bidirectional", special_ids=special)
    foreign = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    shown = ids(2, 20)
    with torch.no_grad():
        ours = model(Batch(ids_bt=shown, attention="bidirectional"), "logits")
        theirs = foreign(shown, attention_mask=torch.ones_like(shown)).logits
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
