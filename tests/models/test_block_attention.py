"""Blocks of a mask, which a compiled model takes on a GPU, against the mask itself.

Run as torch's reference, not compiled, and forward alone: torch has no backward of it for a CPU.
"""

from __future__ import annotations

import pytest
import torch

from models import llama
from models.attention import View, view_mask
from models.batch import Batch, document_pieces
from models.block_attention import block_mask
from models.build import build
from models.objective import CROSS_ENTROPY
from models.presets import Llama

WORDS, LENGTHS = 96, [5, 130, 20, 45]


def batch_of(kind, cut: bool) -> Batch:
    length = sum(LENGTHS)
    draw = torch.Generator().manual_seed(0)
    row, labels = (torch.randint(0, WORDS, (2, length), generator=draw) for _ in range(2))
    documents = torch.repeat_interleave(torch.arange(1, 5), torch.tensor(LENGTHS)).expand(2, -1)
    documents = torch.stack([documents[0], documents[0].flip(0)])  # the second row is cut elsewhere
    prefix = torch.zeros_like(row, dtype=torch.bool)
    for number, start, end in document_pieces(documents):
        prefix[number, start : start + (end - start) // 2] = True
    return Batch(ids_bt=row, labels_bt=labels, documents_bt=documents, cut=cut, attention=kind, prefix_bt=prefix)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(
    ("kind", "cut"), [("causal", True), ("bidirectional", True), ("prefix", True), ("prefix", False)]
)
def test_losses_are_those_of_the_mask(kind, cut, monkeypatch):
    batch = batch_of(kind, cut)
    model = build(Llama("1m", layers=2, kv_heads=2, init_std=0.1), WORDS, 256, seed=0)
    found = []
    for view in (View(mask_bits=view_mask(batch)), View(blocks=block_mask(batch)), View()):
        monkeypatch.setattr(llama, "see", lambda *_, view=view, **__: view)
        with torch.no_grad():
            found.append(model(batch, CROSS_ENTROPY).loss_bt)
    masked, blocked, unlike = found
    torch.testing.assert_close(blocked, masked, rtol=1e-5, atol=1e-5)
    assert (unlike - masked).abs().max() > 1e-2, "the mask does something"


def test_what_nobody_sees_is_left_out():
    length = 1024
    documents = 1 + torch.arange(length).expand(1, -1) // 128
    batch = Batch(ids_bt=torch.zeros_like(documents), documents_bt=documents, cut=True)
    assert block_mask(batch).sparsity() == pytest.approx(100 * (1 - 8 / 64))
