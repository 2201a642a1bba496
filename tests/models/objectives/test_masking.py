"""Masks of tokens: their share, what may not be masked, labels at the same place, the same for ever."""

from __future__ import annotations

import numpy as np
import pytest

from models.objectives.masking import IGNORE, mask_tokens, uniforms


def test_masked_share_and_labels() -> None:
    ids = np.arange(100_000) % 500 + 10
    maskable = np.arange(100_000) % 10 != 0
    masked, labels = mask_tokens(ids, maskable, 0.4, 3, "0/7/0")
    chosen = masked == 3
    assert chosen[maskable].mean() == pytest.approx(0.4, abs=0.01)
    assert not chosen[~maskable].any()
    assert np.array_equal(labels[chosen], ids[chosen])
    assert (labels[~chosen] == IGNORE).all()
    assert np.array_equal(masked[~chosen], ids[~chosen])


def test_nothing_and_everything() -> None:
    ids = np.arange(50)
    everywhere = np.ones(50, bool)
    masked, labels = mask_tokens(ids, everywhere, 0.0, 99, "k")
    assert np.array_equal(masked, ids)
    assert (labels == IGNORE).all()
    masked, labels = mask_tokens(ids, everywhere, 1.0, 99, "k")
    assert (masked == 99).all()
    assert np.array_equal(labels, ids)


def test_draws_are_a_function_of_the_key_and_the_first_ones_do_not_hang_on_the_count() -> None:
    assert uniforms("a", 3).tolist() == uniforms("a", 1000)[:3].tolist()
    assert uniforms("a", 3).tolist() != uniforms("b", 3).tolist()
    # as every version of numpy gives them
    assert uniforms("seed/0", 2).tolist() == [0.06551668155959955, 0.2302847342352674]
