"""Repetition in a document: lines, paragraphs and n-grams of words, as shares. `stages/loops/ngrams.py` counts."""

from __future__ import annotations

import numpy as np

from stages.clean.cut import Cut
from stages.clean.rules import REPEATED, TOP


def room(entries: int) -> int:
    """Places of a table for so many entries, as the loops count them: a power of two, half of them free."""
    return 1 << max(4, (2 * entries - 1).bit_length())


def copies(cut: Cut, joined: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lines that are not blank, those that stood before, their characters), int64 [D]; paragraphs when `joined`."""
    from stages.loops import ngrams

    most = int((cut.line_span[1] - cut.line_span[0]).sum())
    hashes, lengths, starts = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(len(cut) + 1, np.int64)
    ngrams.pieces(cut.data, cut.lines, *cut.line_span, joined, hashes, lengths, cut.line_facts, starts)
    found, chars = np.empty((2, len(cut)), np.int64)
    longest = int(np.diff(starts).max(initial=0))
    ngrams.copies(hashes, lengths, starts[:-1], starts[1:], found, chars, np.empty(room(longest), np.uint64))
    return np.diff(starts), found, chars


def ngram_shares(words, lengths, span, steps, whole, redpajama: bool = False) -> dict[str, np.ndarray]:
    """The nine shares of characters in n-grams, float32 [D]: `gopher_top_<n>gram`, `gopher_dup_<n>grams`.

    words, lengths: of each word, equal numbers for equal words, and its characters; span: int64 [2, D]; whole:
    characters of the documents; redpajama: count as RedPajama-v2 does (`stages/loops/ngrams.py`).
    """
    from stages.loops import ngrams

    documents = span.shape[1]
    top, dup = np.empty((documents, len(TOP)), np.int64), np.empty((documents, len(REPEATED)), np.int64)
    longest = int((span[1] - span[0]).max(initial=0))
    scratch = [np.empty(longest, np.int32) for _ in range(6)]
    ngrams.ngrams(
        words, lengths, *span, steps, np.array(TOP), np.array(REPEATED), redpajama, top, dup,
        np.empty(room(longest), np.int32), *scratch, np.empty(longest + 1, np.int64),
    )  # fmt: skip
    # an n-gram that overlaps itself may count above 1
    share = lambda chars: np.minimum(chars / np.maximum(whole, 1), 1).astype(np.float32)  # noqa: E731
    return {
        **{f"gopher_top_{n}gram": share(top[:, i]) for i, n in enumerate(TOP)},
        **{f"gopher_dup_{n}grams": share(dup[:, i]) for i, n in enumerate(REPEATED)},
    }


def entropies(words: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(different words, int64; the entropy of their distribution in nats, float64) of each document.

    words: equal numbers for equal words; span: int64 [2, D].
    """
    from stages.loops import ngrams

    documents, longest = span.shape[1], int((span[1] - span[0]).max(initial=0))
    distinct, nats = np.empty(documents, np.int64), np.empty(documents, np.float64)
    scratch = np.empty(room(longest), np.int32), np.empty(longest, np.int32), np.zeros(longest + 1, np.int64)
    ngrams.entropy(words, *span, distinct, nats, *scratch)
    return distinct, nats
