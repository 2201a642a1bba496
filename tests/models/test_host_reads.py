"""How often the host waits for the device in the forward and backward of a micro-batch.

Counted on the CPU, by the methods of a tensor that bring numbers to Python: on a GPU each of them waits for all that
was asked of it so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from models.attention import LONG_ROW
from models.batch import Batch
from models.build import build
from models.fused_losses import fused_losses
from models.objective import CrossEntropy
from models.objectives.preference import SimPO
from models.presets import Llama, Lost

READS = ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "cpu", "numpy")
LENGTH = LONG_ROW + 1


@contextmanager
def counted() -> Iterator[list[str]]:
    """The reads within the context, by the names of their methods; one within another counts once."""
    found, depth = list[str](), [0]
    plain = {name: getattr(torch.Tensor, name) for name in READS}

    def watched(name):
        def read(self, *args, **given):
            found.extend([name] * (depth[0] == 0))
            depth[0] += 1
            try:
                return plain[name](self, *args, **given)
            finally:
                depth[0] -= 1

        return read

    try:
        for name in READS:
            setattr(torch.Tensor, name, watched(name))
        yield found
    finally:
        for name, method in plain.items():
            setattr(torch.Tensor, name, method)


def micro_batch() -> Batch:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 64, (2, LENGTH), generator=draw)
    documents = 1 + torch.arange(LENGTH).expand(2, LENGTH) // (LENGTH // 3)
    group = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2]])
    role = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1]])
    batch = Batch(ids_bt=ids, labels_bt=ids, documents_bt=documents, cut=True, groups_bd=group, roles_bd=role)
    return Batch(**{**vars(batch), "runs": batch.segment_runs()})  # as `to` leaves them on a device


@pytest.mark.parametrize(("objective", "most"), [(CrossEntropy(), 0), (SimPO(), 1)], ids=["cross_entropy", "simpo"])
@pytest.mark.parametrize("config", [Llama("1m"), Lost("1m", rank=8, density=0.1)], ids=["llama", "lost"])
def test_a_micro_batch_is_waited_for_at_most_so_often(config, objective, most):
    """Never; a loss of groups asks how many groups there are."""
    model, batch = build(config, 64, LENGTH, 0), micro_batch()
    with counted() as reads:
        losses = model(batch, objective)
        (losses.loss_u if isinstance(objective, SimPO) else losses.loss_bt).sum().backward()
    assert len(reads) <= most, reads


def test_the_fused_loss_waits_once():
    """It asks whether all tokens have one factor, which saves a second pass over the head."""
    draw = torch.Generator().manual_seed(0)
    x, head = (torch.randn(*size, generator=draw, requires_grad=True) for size in ((40, 8), (50, 8)))
    labels = torch.randint(0, 50, (40,), generator=draw)
    with counted() as reads:
        fused_losses(x, head, labels).sum().backward()
    assert reads == ["tolist"]


def test_a_read_is_seen():
    with counted() as reads:
        float(torch.ones(1).sum())
        torch.ones(3).tolist()
        bool(torch.ones(1) > 0)
    assert len(reads) == 3, reads
    with counted() as reads:
        micro_batch()
    assert reads == ["cpu", "numpy"]
