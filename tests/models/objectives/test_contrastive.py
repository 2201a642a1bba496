"""The contrastive loss by its formula, in fp64: negatives, hard ones, pairs that are none, cut vectors, pooling."""

import math

import pytest
import torch

from models.batch import Batch
from models.batch_objective import NoNegatives
from models.losses import IGNORE
from models.objectives.contrastive import Contrastive
from models.sample_objective import SamplePieces


def pieces(groups: int, negatives: int = 0, same=None) -> SamplePieces:
    """Groups of a query, a text of its own and so many hard negatives, in a batch's order."""
    size = 2 + negatives
    columns = {} if same is None else {"cluster": torch.tensor(same, dtype=torch.float64).repeat_interleave(size)}
    return SamplePieces(
        torch.zeros(0, 0, dtype=torch.int64), torch.arange(groups).repeat_interleave(size),
        torch.tensor([0, 1] + [2] * negatives).repeat(groups), groups, columns,
    )  # fmt: skip


def values(count: int, width: int = 6) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("negatives", [0, 1, 2])
def test_equal_vectors_are_ln_of_all_texts(negatives):
    loss_u = Contrastive().loss(torch.ones(5 * (2 + negatives), 4, dtype=torch.float64), pieces(5, negatives))
    torch.testing.assert_close(loss_u, torch.full((5,), math.log(5 + 5 * negatives), dtype=torch.float64))


def test_it_is_its_formula():
    held = values(12)
    found = Contrastive(scale=7.0).loss(held, pieces(4, 1))
    q, d, n = held[0::3], held[1::3], held[2::3]
    for i in range(4):
        cos = [torch.cosine_similarity(q[i], one, dim=0) for one in [*d, *n]]
        expected = -torch.log(torch.exp(7.0 * cos[i]) / torch.stack([torch.exp(7.0 * c) for c in cos]).sum())
        assert float(found[i]) == pytest.approx(float(expected), abs=1e-12)


def test_pairs_of_one_cluster_are_no_negatives_of_each_other():
    held, same = values(8), [1, 2, 1, 3]
    found = Contrastive(same="cluster").loss(held, pieces(4, same=same))
    q, d = held[0::2], held[1::2]
    cos = 20.0 * torch.nn.functional.normalize(q, dim=1) @ torch.nn.functional.normalize(d, dim=1).T
    for i, others in enumerate([(0, 1, 3), (0, 1, 2, 3), (1, 2, 3), (0, 1, 2, 3)]):
        assert float(found[i]) == pytest.approx(float(cos[i, list(others)].logsumexp(0) - cos[i, i]), abs=1e-12)
    with pytest.raises(NoNegatives):
        Contrastive(same="cluster").loss(values(4), pieces(2, same=[1, 1]))


def test_cut_vectors_are_measured_anew():
    held = values(8)
    both = Contrastive(dims=(2, 6)).loss(held, pieces(4))
    cut, whole = Contrastive().loss(held[:, :2].contiguous(), pieces(4)), Contrastive().loss(held, pieces(4))
    torch.testing.assert_close(both, (cut + whole) / 2)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_marked_places_of_each_piece_are_pooled(pooling):
    documents = torch.tensor([[1, 1, 1, 2, 2, 0], [0, 1, 1, 1, 1, 1]])
    labels = torch.where(torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 1, 1, 1, 0]]).bool(), 5, IGNORE)
    batch = Batch(
        ids_bt=torch.zeros(2, 6, dtype=torch.int64), labels_bt=labels, documents_bt=documents,
        groups_bd=torch.tensor([[1, 1], [1, 0]]), roles_bd=torch.tensor([[0, 1], [0, 0]]),
    )  # fmt: skip
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    found = Contrastive(pooling=pooling).losses(x, torch.zeros(4, 3), batch).values_pk
    expected = {
        "mean": [x[0, :2].mean(0), x[0, 3:5].mean(0), x[1, 2:5].mean(0)], "last": [x[0, 1], x[0, 4], x[1, 4]],
    }[pooling]  # fmt: skip
    torch.testing.assert_close(found[[1, 2, 4]], torch.stack(expected))


@pytest.mark.parametrize(("made", "said"), [
    (lambda: Contrastive(scale=0.0), "scale: found 0.0"),
    (lambda: Contrastive(dims=(8, 4)), "dims: found"),
    (lambda: Contrastive(dims=(0,)), "dims: found"),
])  # fmt: skip
def test_impossible_numbers_are_refused(made, said):
    with pytest.raises(ValueError, match=said):
        made()
