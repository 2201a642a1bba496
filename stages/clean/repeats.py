"""What a document says again: lines, paragraphs and n-grams of words, as shares. `stages/loops/ngrams.py` counts."""

from __future__ import annotations

import numpy as np

from stages.clean.cut import Cut

TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)


def copies(cut: Cut, joined: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lines that are not blank, those that stood before, their characters), int64 [D]; paragraphs when `joined`."""
    from stages.loops import ngrams

    most = int((cut.line_span[1] - cut.line_span[0]).sum())
    hashes, lengths, starts = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(len(cut) + 1, np.int64)
    ngrams.pieces(cut.data, cut.lines, *cut.line_span, joined, hashes, lengths, cut.line_facts, starts)
    found, chars = np.empty((2, len(cut)), np.int64)
    ngrams.copies(hashes, lengths, starts[:-1], starts[1:], found, chars)
    return np.diff(starts), found, chars


def ngram_shares(words, lengths, span, steps, whole, prefix: str = "gopher") -> dict[str, np.ndarray]:
    """The nine shares of characters in n-grams, float32 [D]: `<prefix>_top_<n>gram`, `<prefix>_dup_<n>grams`.

    words, lengths: of each word, equal numbers for equal words, and its characters; span: int64 [2, D]; whole:
    characters of the documents.
    """
    from stages.loops import ngrams

    documents = span.shape[1]
    top, dup = np.empty((documents, len(TOP)), np.int64), np.empty((documents, len(REPEATED)), np.int64)
    ngrams.ngrams(words, lengths, *span, steps, np.array(TOP), np.array(REPEATED), top, dup)
    # an n-gram that overlaps itself may count above 1
    share = lambda chars: np.minimum(chars / np.maximum(whole, 1), 1).astype(np.float32)  # noqa: E731
    return {
        **{f"{prefix}_top_{n}gram": share(top[:, i]) for i, n in enumerate(TOP)},
        **{f"{prefix}_dup_{n}grams": share(dup[:, i]) for i, n in enumerate(REPEATED)},
    }
