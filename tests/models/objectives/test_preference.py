"""Losses of pairs of answers: their closed forms and gradients in fp64, and what does not touch them."""

from __future__ import annotations

import math

import pytest
import torch

from models.batch import Batch
from models.losses import IGNORE
from models.objective import CROSS_ENTROPY
from models.objectives.preference import DPO, SimPO
from models.sample_objective import SamplePieces

# two rows: a pair and its neighbour of another group in the first, the pair turned round in the second
DOCUMENTS = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 0], [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0]])
GROUPS = torch.tensor([[1, 1, 2, 2], [1, 1, 0, 0]])
ROLES = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0]])
LEARNED = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0], [0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0]]).bool()
PAIRS = [(0, 1, 2), (0, 3, 4), (1, 2, 1)]  # row, document of the chosen answer, of the rejected one
WORDS, WIDTH = 11, 6
NAN = float("nan")


def batch(**pieces) -> Batch:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, WORDS, DOCUMENTS.shape, generator=draw)
    labels = torch.randint(0, WORDS, DOCUMENTS.shape, generator=draw).where(LEARNED, IGNORE)
    return Batch(
        ids_bt=ids, labels_bt=labels, documents_bt=DOCUMENTS, cut=True, groups_bd=GROUPS, roles_bd=ROLES, pieces=pieces
    )


def states() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(*DOCUMENTS.shape, WIDTH, generator=draw, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(WORDS, WIDTH, generator=draw, dtype=torch.float64, requires_grad=True)


def by_hand(x, head, labels, row, document):
    """Log-probability of the learned places of a document, and how many there are."""
    places = (DOCUMENTS[row] == document) & (labels[row] != IGNORE)
    logp = torch.log_softmax(x[row] @ head.T, -1)[places]
    return logp.gather(-1, labels[row][places][:, None]).sum(), int(places.sum())


def held(loss_u, rows=2):
    """The losses of the groups that there are, in the order of PAIRS."""
    by_row = loss_u.view(rows, -1)
    return torch.stack([by_row[0, 1], by_row[0, 2], by_row[1, 1]])


def test_simpo_is_its_formula_and_so_is_its_gradient() -> None:
    one, (x, head) = batch(), states()
    beta, gamma = 2.5, 0.5
    found = held(SimPO(beta=beta, gamma=gamma).losses(x, head, one).loss_u)
    expected = []
    for row, chosen, rejected in PAIRS:
        (w, of_w), (r, of_r) = (by_hand(x, head, one.labels_bt, row, d) for d in (chosen, rejected))
        expected.append(-torch.log(torch.sigmoid(beta / of_w * w - beta / of_r * r - gamma)))
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-12)
    grads = torch.autograd.grad(found.sum(), (x, head), retain_graph=True)
    for mine, theirs in zip(grads, torch.autograd.grad(torch.stack(expected).sum(), (x, head)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_dpo_is_its_formula_with_the_nats_of_the_reference() -> None:
    chosen = torch.tensor([[3.0, 3.0, 5.0, 5.0], [7.0, 7.0, NAN, NAN]], dtype=torch.float64)
    one, (x, head) = batch(chosen_nats=chosen, rejected_nats=chosen + 1.5), states()
    found = held(DPO(beta=0.3).losses(x, head, one).loss_u)
    expected = []
    for (row, *sides), nats in zip(PAIRS, (3.0, 5.0, 7.0), strict=True):
        (w, _), (r, _) = (by_hand(x, head, one.labels_bt, row, d) for d in sides)
        expected.append(-torch.log(torch.sigmoid(0.3 * ((w + nats) - (r + nats + 1.5)))))
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-12)


def test_the_gradient_of_a_margin_is_the_one_on_paper() -> None:
    """dL / d log p(w) = -beta / |w| sigmoid(-margin), and the other way round for the rejected side."""
    one = batch()
    values = torch.tensor([[-3.0, 2.0], [-8.0, 4.0], [-1.0, 1.0], [-1.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    pieces = SamplePieces.of(Batch(
        ids_bt=one.ids_bt[:1], documents_bt=DOCUMENTS[:1], groups_bd=GROUPS[:1], roles_bd=ROLES[:1]
    ))  # fmt: skip
    values_pk = values[[4, 0, 1, 2, 3]].requires_grad_()
    SimPO(beta=2.0, gamma=0.1).loss(values_pk, pieces)[1].backward()
    margin = 2.0 * (-3.0 / 2 + 8.0 / 4) - 0.1
    slope = 2.0 / (1 + math.exp(margin))
    assert values_pk.grad[1, 0].item() == pytest.approx(-slope / 2, abs=1e-12)
    assert values_pk.grad[2, 0].item() == pytest.approx(slope / 4, abs=1e-12)
    assert not values_pk.grad[[0, 3, 4]].any(), "other groups have no part in it"


@pytest.mark.parametrize("objective", [SimPO(beta=0.0, gamma=0.0), DPO(beta=0.0)], ids=lambda o: type(o).__name__)
def test_beta_of_zero_is_ln_2_and_teaches_nothing(objective) -> None:
    ones = torch.ones(2, 4, dtype=torch.float64)
    one, (x, head) = batch(chosen_nats=ones, rejected_nats=ones), states()
    losses = objective.losses(x, head, one)
    torch.testing.assert_close(held(losses.loss_u), torch.full((3,), math.log(2.0), dtype=torch.float64))
    losses.loss_u.sum().backward()
    assert not x.grad.any()
    assert not head.grad.any()


def test_the_score_is_the_plain_cross_entropy_of_the_learned_places() -> None:
    one, (x, head) = batch(), states()
    losses = SimPO().losses(x, head, one)
    assert torch.equal(losses.score_bt, CROSS_ENTROPY.losses(x, head, one).score_bt)
    assert not losses.score_bt.requires_grad
    assert torch.equal(losses.score_bt != 0, LEARNED)


@pytest.mark.parametrize(("made", "said"), [
    (lambda: SimPO(beta=-1.0), "beta: found -1.0"),
    (lambda: SimPO(gamma=-1.0), "gamma: found -1.0"),
    (lambda: DPO(beta=-0.1), "beta: found -0.1"),
])  # fmt: skip
def test_numbers_that_turn_the_preference_round_are_refused(made, said) -> None:
    with pytest.raises(ValueError, match=said):
        made()
