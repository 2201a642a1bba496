"""GeDi's loss by its formula in fp64, and its ends: the class-conditional model, and a classifier alone."""

import pytest
import torch

from models.objectives.gedi import Gedi
from models.sample_objective import SamplePieces

CODES = ("<a>", "<b>", "<c>")
# two groups of a text under three codes; the own code of the first is <b>, of the second <a>
ROLES = torch.tensor([1, 0, 2, 0, 1, 2])
PIECES = SamplePieces(torch.zeros(0, 0, dtype=torch.int64), torch.arange(2).repeat_interleave(3), ROLES, 2, {})
LOGP = torch.tensor([-4.0, -6.0, -8.0, -9.0, -3.0, -6.0], dtype=torch.float64)
TOKENS = torch.tensor([2.0, 2.0, 2.0, 3.0, 3.0, 3.0], dtype=torch.float64)
OWN = {"alpha": torch.tensor([1.5]), "bias": torch.tensor([0.2, -0.1, 0.0])}


def test_it_is_its_formula():
    values = torch.stack([LOGP, TOKENS], 1)
    found = Gedi(codes=CODES).with_numbers(OWN).loss(values, PIECES)
    for group, own in ((0, 1), (1, 0)):
        mean = {int(role): LOGP[3 * group + i] / TOKENS[3 * group + i] for i, role in enumerate(ROLES[:3])}
        if group:
            mean = {i: LOGP[3 + i] / TOKENS[3 + i] for i in range(3)}
        logits = torch.stack([1.5 * mean[c] + OWN["bias"][c].double() for c in range(3)])
        expected = 0.8 * -mean[own] - 0.2 * torch.log_softmax(logits, 0)[own]
        assert float(found[group]) == pytest.approx(float(expected), abs=1e-12)


def test_all_of_the_share_is_a_class_conditional_model_and_none_of_it_a_classifier():
    values = torch.stack([LOGP, TOKENS], 1).requires_grad_()
    whole = Gedi(codes=CODES, share=1.0).loss(values, PIECES)
    assert whole.tolist() == pytest.approx([2.0, 3.0])
    (slopes,) = torch.autograd.grad(whole.sum(), values)
    assert slopes[:, 0].tolist() == pytest.approx([-1 / 2, 0, 0, -1 / 3, 0, 0]), "the own code alone"
    none = Gedi(codes=CODES, share=0.0).loss(values, PIECES)
    (slopes,) = torch.autograd.grad(none.sum(), values)
    assert torch.all(slopes[[1, 2, 4, 5], 0] > 0.0)


def test_the_numbers_are_declared_and_learn():
    one = Gedi(codes=CODES, rate=10.0)
    assert [(own.name, own.start, own.rate) for own in one.owns] == [
        ("alpha", (1.0,), 10.0),
        ("bias", (0.0,) * 3, 10.0),
    ]
    own = {name: value.clone().requires_grad_() for name, value in OWN.items()}
    one.with_numbers(own).loss(torch.stack([LOGP, TOKENS], 1), PIECES).sum().backward()
    assert own["alpha"].grad.abs().min() > 0
    assert float(own["bias"].grad.sum()) == pytest.approx(0.0, abs=1e-6)
    assert Gedi(codes=CODES, learn=("bias",)).owns[0].name == "bias"


@pytest.mark.parametrize(("made", "said"), [
    (lambda: Gedi(codes=("<a>",)), "codes: found"),
    (lambda: Gedi(codes=CODES, share=1.1), "share: found 1.1"),
    (lambda: Gedi(codes=CODES, learn=("beta",)), "learn: found 'beta'"),
    (lambda: Gedi(codes=CODES, rate=0.0), "rate: found 0.0"),
])  # fmt: skip
def test_impossible_fields_are_refused(made, said):
    with pytest.raises(ValueError, match=said):
        made()
