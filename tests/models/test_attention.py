"""Every kind of attention against documents alone and against what may not reach what, in both of its forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import attention
from models.attention import see
from models.batch import Batch, document_pieces
from models.build import build
from models.grouped_attention import groups_of, padded
from models.objective import CROSS_ENTROPY
from models.presets import Llama

WORDS = 96
LENGTHS = [5, 1, 20, 7]


def ids(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, WORDS, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return build(Llama("1m", layers=2, init_std=0.1), WORDS, 64, seed=0)


def row_of_documents():
    row = ids(2, sum(LENGTHS))
    documents = torch.repeat_interleave(torch.arange(1, 5), torch.tensor(LENGTHS)).expand(2, -1)
    # the second row is cut elsewhere
    return row, torch.stack([documents[0], documents[0].flip(0)])


@pytest.mark.parametrize("limit", [0, 1000], ids=["groups and calls", "a mask"])
@pytest.mark.parametrize("kind", ["causal", "bidirectional", "prefix"])
def test_each_document_in_a_row_has_the_logits_of_that_document_alone(model, kind, limit, monkeypatch) -> None:
    monkeypatch.setattr(attention, "LONG_ROW", limit)
    monkeypatch.setattr(attention, "LONG_DOCUMENT", 0)
    row, documents = row_of_documents()
    prefix = torch.zeros_like(row, dtype=torch.bool)
    for number, start, end in document_pieces(documents):
        prefix[number, start : start + (end - start) // 2] = True
    batch = Batch(ids_bt=row, documents_bt=documents, cut=True, attention=kind, prefix_bt=prefix)
    view = see(batch)
    used = view.mask_bits if limit else view.groups if kind == "causal" else view.pieces
    assert used is not None
    together = model(batch, "logits")
    for number, start, end in document_pieces(documents):
        cut = slice(start, end)
        alone = Batch(ids_bt=row[number : number + 1, cut], attention=kind, prefix_bt=prefix[number : number + 1, cut])
        torch.testing.assert_close(together[number, cut], model(alone, "logits")[0], rtol=0, atol=1e-5)
    uncut = model(Batch(ids_bt=row, attention=kind, prefix_bt=prefix), "logits")
    assert (uncut - together)[:, 6:].abs().max() > 1e-2, "the cut does something"


@pytest.mark.parametrize("limit", [0, 1000], ids=["groups and calls", "a mask"])
@pytest.mark.parametrize("kind", ["causal", "bidirectional", "prefix"])
def test_a_change_reaches_only_the_places_that_may_see_it(model, kind, limit, monkeypatch) -> None:
    monkeypatch.setattr(attention, "LONG_ROW", limit)
    monkeypatch.setattr(attention, "LONG_DOCUMENT", 0)
    row = ids(1, 12)
    documents = torch.ones_like(row)
    prefix = torch.arange(12)[None] < 5
    for changed in (2, 8):
        other = row.clone()
        other[0, changed] = (row[0, changed] + 1) % WORDS
        both = [
            model(Batch(ids_bt=one, documents_bt=documents, cut=True, attention=kind, prefix_bt=prefix), "logits")
            for one in (row, other)
        ]
        moved = ((both[0] - both[1]).abs().amax(-1)[0] > 1e-6).tolist()
        sees = {
            "causal": [place >= changed for place in range(12)],
            "bidirectional": [True] * 12,
            "prefix": [place >= changed or (changed < 5 and place < 5) for place in range(12)],
        }[kind]
        assert moved == sees


def test_gradients_of_both_forms_agree(model, monkeypatch) -> None:
    row, documents = row_of_documents()
    batch = Batch(ids_bt=row, labels_bt=row.roll(-1, 1), documents_bt=documents, cut=True)
    found = []
    for limit in (0, 1000):
        monkeypatch.setattr(attention, "LONG_ROW", limit)
        losses = model(batch, CROSS_ENTROPY).loss_bt
        found.append(torch.autograd.grad(losses.mean(), list(model.parameters())))
    for groups, mask in zip(*found, strict=True):
        assert (groups - mask).norm() <= 1e-5 * mask.norm()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 3))
def test_groups_hold_every_token_once_and_little_else(lengths, rows) -> None:
    total = sum(lengths)
    documents = torch.repeat_interleave(torch.arange(1, len(lengths) + 1), torch.tensor(lengths)).expand(rows, -1)
    groups = groups_of(document_pieces(documents), total, documents.device)
    assert sorted(groups.token_p[groups.real_p].tolist()) == list(range(rows * total))
    assert torch.equal(groups.token_p[groups.place_bt], torch.arange(rows * total))
    assert sum(count * length for count, length in groups.shapes) == len(groups.token_p)
    for length in lengths:
        assert length <= padded(length) <= max(4, length * 3 // 2)


def test_pooled_states_leave_filling_out(model) -> None:
    row, _ = row_of_documents()
    documents = torch.ones_like(row)
    documents[1, 20:] = 0
    states = model(Batch(ids_bt=row, documents_bt=documents), "states")
    mean = model(Batch(ids_bt=row, documents_bt=documents), "mean")
    last = model(Batch(ids_bt=row, documents_bt=documents), "last")
    torch.testing.assert_close(mean[1], states[1, :20].mean(0))
    torch.testing.assert_close(mean[0], states[0].mean(0))
    assert torch.equal(last, torch.stack([states[0, -1], states[1, 19]]))


def test_recomputed_blocks_give_the_same_gradients() -> None:
    whole, again = (build(Llama("1m", layers=2), WORDS, 64, seed=0) for _ in range(2))
    again.recompute = True
    row, documents = row_of_documents()
    batch = Batch(ids_bt=row, labels_bt=row.roll(-1, 1), documents_bt=documents, cut=True)
    for one in (whole, again):
        one(batch, CROSS_ENTROPY).loss_bt.mean().backward()
    for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)
