"""The Llama against transformers' own, and documents in a packed row against documents alone."""

from __future__ import annotations

import pytest
import torch

from models.build import build
from models.losses import IGNORE
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain
from tests.models.calls import logits, losses

WORDS = 96
KINDS = [
    Llama("1m", layers=2),
    Lost("1m", layers=2, rank=16, density=0.05),
    LowRank("1m", layers=2, rank=16, activation="silu"),
    LowRank("1m", layers=2, rank=16, activation="silu", init="cola"),
    SLTrain("1m", layers=2, rank=16, density=0.03),
]


def ids(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, WORDS, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_losses_and_gradients_are_those_of_transformers() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = Llama("1m", layers=2)
    shape = config.shape
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=shape.hidden,
            intermediate_size=shape.inter,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            rms_norm_eps=config.norm_eps,
        )
    )
    ours = build(config, WORDS, 64, seed=0)
    names = {f"model.{n}" if not n.startswith("lm_head") else n: t for n, t in ours.state_dict().items()}
    theirs.load_state_dict(names)
    batch = ids(3, 33)
    loss = losses(ours, batch[:, :-1], batch[:, 1:]).mean()
    reference = theirs(batch, labels=batch).loss
    assert loss.item() == pytest.approx(reference.item(), abs=1e-6)
    loss.backward()
    reference.backward()
    grads = {n: p.grad for n, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        other = grads[name if name.startswith("lm_head") else f"model.{name}"]
        assert (parameter.grad - other).norm() <= 1e-5 * other.norm(), name


@pytest.mark.parametrize("config", KINDS, ids=lambda config: type(config).__name__)
def test_forward_gives_the_cross_entropy_of_its_logits(config) -> None:
    model = build(config, WORDS, 64, seed=0)
    batch = ids(2, 17)
    labels = batch[:, 1:].clone()
    labels[0, 3] = IGNORE
    found = losses(model, batch[:, :-1], labels)
    expected = torch.nn.functional.cross_entropy(
        logits(model, batch[:, :-1]).flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORE
    )
    torch.testing.assert_close(found.flatten(), expected, rtol=0, atol=1e-5)
    assert found[0, 3] == 0.0
    assert found._base is None, "a view would lose FSDP2's hook"


def test_a_packed_row_equals_its_documents_alone() -> None:
    model = build(KINDS[1], WORDS, 64, seed=0)
    lengths = [5, 1, 20, 7]
    row = ids(1, sum(lengths) + 1)
    segments = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))[None]
    packed = losses(model, row[:, :-1], row[:, 1:], segments)[0]
    start = 0
    for length in lengths:
        alone = losses(model, row[:, start : start + length], row[:, start + 1 : start + length + 1])[0]
        torch.testing.assert_close(packed[start : start + length], alone, rtol=0, atol=1e-5)
        start += length
    plain = losses(model, row[:, :-1], row[:, 1:])[0]
    assert (plain - packed)[5:].abs().max() > 1e-3, "the mask does something"


def test_the_future_never_reaches_a_loss() -> None:
    model = build(KINDS[0], WORDS, 64, seed=0)
    first, second = ids(1, 21), ids(1, 21)
    second[:, 12:] = ids(1, 9, seed=9)
    found = [losses(model, batch[:, :-1], batch[:, 1:])[0] for batch in (first, second)]
    assert torch.equal(found[0][:11], found[1][:11])


@pytest.mark.parametrize("config", KINDS, ids=lambda config: type(config).__name__)
def test_every_kind_learns_a_batch_by_heart(config) -> None:
    from models.optim import clip_gradients, set_learning_rate
    from models.optim_config import AdamW, Cosine
    from models.schedules import learning_rate_factor

    model = build(config, WORDS, 64, seed=0)
    settings = AdamW(lr=4e-3)
    optimiser = settings.make(model)
    batch = ids(4, 33)
    seen = []
    for step in range(40):
        set_learning_rate(optimiser, settings.lr * learning_rate_factor(Cosine(), step, 40))
        loss = losses(model, batch[:, :-1], batch[:, 1:]).mean()
        loss.backward()
        clip_gradients(model.parameters(), settings.clip)
        optimiser.step()
        optimiser.zero_grad()
        seen.append(loss.item())
    assert seen[0] == pytest.approx(4.56, abs=0.15), "near ln 96 at the start"
    assert seen[-1] < 0.8
