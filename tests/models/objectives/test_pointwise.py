"""The regression of a policy on its reward: the formula, and that it ends in the policy that the reward asks for."""

from __future__ import annotations

import math

import numpy as np
import torch

from models.batch import Batch
from models.losses import IGNORE
from models.objectives.pointwise import Pointwise
from models.sample_objective import SamplePieces
from stages.rewards.tilting import log_mean_exp

NAN = float("nan")
DOCUMENTS = torch.tensor([[1, 1, 1, 2, 2, 2, 3, 3]])
GROUPS = torch.tensor([[1, 2, 3]])
COLUMNS = {
    "phi": [0.5, 2.0, NAN], "beta": [0.25, 0.25, NAN], "log_z": [1.0, 1.0, NAN], "reference_nats": [3.0, 4.0, 5.0],
}  # fmt: skip


def batch() -> Batch:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, DOCUMENTS.shape, generator=draw)
    labels[0, [0, 3]] = IGNORE
    pieces = {name: torch.tensor([values], dtype=torch.float64) for name, values in COLUMNS.items()}
    return Batch(
        ids_bt=labels.clamp_min(0), labels_bt=labels, documents_bt=DOCUMENTS, cut=True, groups_bd=GROUPS,
        roles_bd=torch.zeros_like(GROUPS), pieces=pieces,
    )  # fmt: skip


def test_the_loss_is_the_square_of_what_the_ratio_lacks() -> None:
    one, draw = batch(), torch.Generator().manual_seed(1)
    x, head = (
        torch.randn(*size, 5, generator=draw, dtype=torch.float64, requires_grad=True) for size in ((1, 8), (7,))
    )
    loss_u = Pointwise().losses(x, head, one).loss_u
    logp = torch.log_softmax(x[0] @ head.T, -1).gather(-1, one.labels_bt[0].clamp_min(0)[:, None])[:, 0]
    by_hand = [
        (phi / beta - log_z - (logp[places].sum() + nats)) ** 2
        for phi, beta, log_z, nats, places in ((0.5, 0.25, 1.0, 3.0, [1, 2]), (2.0, 0.25, 1.0, 4.0, [4, 5]))
    ]
    torch.testing.assert_close(loss_u[1:3], torch.stack(by_hand), rtol=0, atol=1e-12)
    assert loss_u[3] == loss_u[0] == 0.0  # no reward, and the filling
    loss_u.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[0, 6:] == 0).all()


def test_a_constant_reward_leaves_the_reference_as_it_is() -> None:
    """To the bit: of equal phi, ln Z is phi / beta, so nothing is wanted of the ratio, and it has no gradient."""
    phi, beta = np.full(16, math.e**3), 0.37
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(16, generator=draw, dtype=torch.float64)
    reference = torch.log_softmax(logits, 0)
    columns = {
        "phi": torch.tensor(phi), "beta": torch.full((16,), beta, dtype=torch.float64), "reference_nats": -reference,
        "log_z": torch.full((16,), log_mean_exp(phi / beta), dtype=torch.float64),
    }  # fmt: skip
    pieces = SamplePieces(
        piece_bt=torch.arange(16)[None], group_p=torch.arange(16), role_p=torch.zeros(16, dtype=torch.int64), groups=16,
        columns=columns,
    )  # fmt: skip
    logits.requires_grad_()
    values_pk = torch.stack([torch.log_softmax(logits, 0), torch.ones(16, dtype=torch.float64)], 1)
    loss_u = Pointwise().loss(values_pk, pieces)
    loss_u.sum().backward()
    assert loss_u.tolist() == [0.0] * 16
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0] * 16


def test_a_table_of_answers_becomes_the_tilted_reference() -> None:
    """Sixteen answers to a prompt as a table of logits: the minimum is the reference times exp(phi / beta)."""
    draw = torch.Generator().manual_seed(2)
    reference = torch.log_softmax(torch.randn(16, generator=draw, dtype=torch.float64), 0)
    phi, beta = torch.rand(16, generator=draw, dtype=torch.float64), 0.5
    log_z = torch.logsumexp(reference + phi / beta, 0)
    columns = {"phi": phi, "beta": torch.full_like(phi, beta), "log_z": log_z.expand(16), "reference_nats": -reference}
    pieces = SamplePieces(
        piece_bt=torch.arange(16)[None], group_p=torch.arange(16), role_p=torch.zeros(16, dtype=torch.int64), groups=16,
        columns=columns,
    )  # fmt: skip
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> float:
        optimizer.zero_grad()
        values_pk = torch.stack([torch.log_softmax(logits, 0), torch.ones(16, dtype=torch.float64)], 1)
        loss = Pointwise().loss(values_pk, pieces).mean()
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    expected = torch.softmax(reference + phi / beta, 0)
    torch.testing.assert_close(torch.softmax(logits.detach(), 0), expected, rtol=0, atol=1e-6)
