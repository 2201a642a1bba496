"""The forms of the cross-entropy against one another, and sums by row and by document against loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import fused_losses as fused
from models import loss_choice
from models.fused_losses import common_factor, fused_losses
from models.loss_choice import choose, fused_rows
from models.loss_forms import token_losses
from models.losses import IGNORE, LinearCrossEntropy, chunked_losses, full_losses, sum_documents, sum_rows

WIDTH, WORDS = 8, 30


def inputs(n: int, dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, WIDTH, generator=generator, dtype=dtype)
    head = torch.randn(WORDS, WIDTH, generator=generator, dtype=dtype)
    labels = torch.randint(0, WORDS, (n,), generator=generator)
    labels[::5] = IGNORE
    return x.requires_grad_(), head.requires_grad_(), labels


def gradients(losses_n: torch.Tensor, x: torch.Tensor, head: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(0.1, 2.0, len(losses_n), dtype=losses_n.dtype)
    return [losses_n, *torch.autograd.grad((weights * losses_n).sum(), [x, head])]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_kept_and_chunked_forms_equal_full_logits_under_any_weights(dtype, tolerance) -> None:
    # more rows than one block of the kept form
    x, head, labels = inputs(LinearCrossEntropy.BLOCK + 88, dtype)
    reference = gradients(full_losses(x, head, labels), x, head)
    for other in (LinearCrossEntropy.apply(x, head, labels), chunked_losses(x, head, labels, 0.0, 64)):
        for ours, theirs in zip(gradients(other, x, head), reference, strict=True):
            assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_kept_form_passes_gradcheck() -> None:
    x, head, labels = inputs(6, torch.float64)
    assert torch.autograd.gradcheck(lambda x, head: LinearCrossEntropy.apply(x, head, labels), [x, head])


@pytest.fixture
def small_blocks(monkeypatch):
    """64 tokens at once, so that a few hundred are several blocks and the last one is not full."""
    monkeypatch.setattr(loss_choice, "FUSED_NUMBERS", 1)
    assert fused_rows(WORDS) == 64


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("rows", ["equal", "weighted ahead", "weighted later"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_every_form_gives_the_gradients_of_full_logits(dtype, tolerance, rows, z_loss) -> None:
    """With row weights and places that do not count, to 1e-6 of a gradient's size."""
    x, head, labels = inputs(150, dtype)
    weights = torch.ones(150, dtype=dtype) if rows == "equal" else torch.linspace(0.1, 2.0, 150, dtype=dtype)
    ahead = weights if rows == "weighted ahead" else None

    def found(losses_n: torch.Tensor) -> list[torch.Tensor]:
        return [losses_n.detach(), *torch.autograd.grad((0.3 * weights * losses_n).sum(), [x, head])]

    reference = found(full_losses(x, head, labels, z_loss))
    for other in (
        LinearCrossEntropy.apply(x, head, labels, z_loss),
        chunked_losses(x, head, labels, z_loss, 64),
        fused_losses(x, head, labels, z_loss, ahead),
    ):
        for ours, theirs in zip(found(other), reference, strict=True):
            assert (ours - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.usefixtures("small_blocks")
def test_the_fused_form_makes_no_second_pass_for_the_weights_that_it_was_told(monkeypatch) -> None:
    x, head, labels = inputs(150, torch.float64)
    weights, calls, plain = torch.linspace(0.1, 2.0, 150, dtype=torch.float64), [], fused.passes
    monkeypatch.setattr(fused, "passes", lambda *all: calls.append(1) or plain(*all))
    for ahead, later, passes in ((None, 0.25, 1), (weights, weights, 1), (None, weights, 2)):
        calls.clear()
        (fused_losses(x, head, labels, 0.0, ahead) * later).sum().backward()
        assert len(calls) == passes
    with torch.no_grad():
        assert fused_losses(x, head, labels).grad_fn is None


def test_a_common_factor_is_found_in_every_bit_or_not_at_all() -> None:
    factors = torch.tensor([0.0, 0.5, 2.0])
    assert common_factor(factors * 0.3, factors) == pytest.approx(0.3)
    assert common_factor(torch.tensor([0.0, 0.5, 2.0001]), factors) is None
    assert common_factor(torch.tensor([0.1, 0.5, 2.0]), factors) is None
    assert common_factor(torch.zeros(3), torch.zeros(3)) == 1.0


@pytest.mark.usefixtures("small_blocks")
def test_the_fused_form_sums_the_heads_gradient_in_the_heads_precision() -> None:
    x, head, labels = inputs(400, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = {form: token_losses(x[None], head, labels[None], form=form) for form in ("kept", "fused")}
    exact = torch.autograd.grad(full_losses(x, head, labels).sum(), [x, head])
    far = {}
    for form, loss in losses.items():
        found = torch.autograd.grad(loss.sum(), [x, head])
        assert [grad.dtype for grad in found] == [torch.float32] * 2
        far[form] = [float((mine - true).norm() / true.norm()) for mine, true in zip(found, exact, strict=True)]
    assert max(far["fused"]) < 2e-2
    assert far["fused"][1] < far["kept"][1]


def test_the_choice_is_by_the_size_of_the_logits() -> None:
    assert choose(2048, 1024) == "kept"
    assert choose(32_000, 4096) == "kept"
    assert choose(128_000, 4096) == "fused"


def test_kept_form_in_bf16_rounds_once_and_never_the_scale_of_the_weights() -> None:
    x, head, labels = inputs(400, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = token_losses(x[None], head, labels[None], form="kept")
    assert losses.dtype == torch.float32
    exact = torch.autograd.grad(full_losses(x, head, labels).sum(), [x, head])
    # bf16 would make 1.2969 of this factor
    factor = 1.3
    plain = torch.autograd.grad(losses.sum(), [x, head], retain_graph=True)
    scaled = torch.autograd.grad((factor * losses).sum(), [x, head])
    for once, times, reference in zip(plain, scaled, exact, strict=True):
        assert times.dtype == torch.float32
        assert (once - reference).norm() < 2e-2 * reference.norm()
        slope = (times * once).sum() / once.square().sum()
        assert abs(slope - factor) < 5e-4


@pytest.mark.parametrize("form", ["full", "kept", "chunked", "fused"])
def test_z_loss_changes_the_gradient_and_not_the_value(form) -> None:
    x, head, labels = inputs(20, torch.float64)
    plain = token_losses(x[None], head, labels[None], form="full")[0]
    with_z = token_losses(x[None], head, labels[None], z_loss=0.1, form=form, chunk=7)[0]
    torch.testing.assert_close(with_z, plain, rtol=0, atol=1e-12)
    logits = x @ head.T
    square = 0.1 * logits.logsumexp(-1).square()
    wanted = (full_losses(x, head, labels) + square.where(labels != IGNORE, 0.0)).sum()
    for ours, theirs in zip(
        torch.autograd.grad(with_z.sum(), [x, head]), torch.autograd.grad(wanted, [x, head]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@given(data=st.data(), rows=st.integers(1, 4), length=st.integers(1, 9), documents=st.integers(1, 6))
@settings(max_examples=40)
def test_sums_by_row_and_document_are_those_of_a_loop(data, rows, length, documents) -> None:
    def cells(strategy: st.SearchStrategy) -> torch.Tensor:
        return torch.tensor([[data.draw(strategy) for _ in range(length)] for _ in range(rows)])

    losses = cells(st.integers(0, 8)).double() / 4
    labels = cells(st.sampled_from([IGNORE, 0, 5]))
    losses = losses.where(labels != IGNORE, 0.0)
    segments = cells(st.integers(0, documents - 1))
    row_sums, row_counts = sum_rows(losses, labels)
    doc_sums, doc_counts = sum_documents(losses, labels, segments, documents)
    for row in range(rows):
        valid = [t for t in range(length) if labels[row, t] != IGNORE]
        assert row_sums[row] == sum(losses[row, t].item() for t in valid)
        assert row_counts[row] == len(valid)
    for document in range(documents):
        inside = [
            losses[row, t].item()
            for row in range(rows)
            for t in range(length)
            if segments[row, t] == document and labels[row, t] != IGNORE
        ]
        assert doc_sums[document] == sum(inside)
        assert doc_counts[document] == len(inside)
