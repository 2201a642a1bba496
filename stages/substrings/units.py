"""The words of a batch, the anchors of their windows, and 128 bits of the windows themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.hashing.shingles import fmix64
from stages.hashing.sketch import text_arguments, word_scratch
from stages.loops import kernel, windows
from stages.loops.constants import BASE

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Anchors:
    """Runs of neighbouring windows that one n-gram stands for, in order of (document, place).

    key      uint64[a]: hash of the n-gram
    owner    int64[a]: document in the batch
    first    int64[a]: place of the first window among all words of the batch
    windows  int64[a]: number of windows
    """

    key: np.ndarray
    owner: np.ndarray
    first: np.ndarray
    windows: np.ndarray


@dataclass(frozen=True)
class Places:
    """Where the words of n documents are.

    data         uint8: the UTF-8 of all of them
    offsets      int64[n + 1]: where each document begins and ends in it
    first, last  int64[m]: where each word begins, and the byte behind its last
    stops        int64[n]: the words of document i end at stops[i]
    """

    data: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    last: np.ndarray
    stops: np.ndarray

    def owned(self, document: int) -> np.ndarray:
        """Return int64[w + 1]: where the bytes begin that each of a document's w words owns, and where the last ends.

        A word owns what follows it up to the next one; the first one owns what stands before it too.
        """
        begin = int(self.stops[document - 1]) if document else 0
        inner = self.first[begin + 1 : int(self.stops[document])]
        return np.concatenate([self.offsets[document : document + 1], inner, self.offsets[document + 1 : document + 2]])


def gram_of(length: int) -> int:
    """Return the words of the n-gram that stands for a window: half of them, so that few n-grams stand for many."""
    return (length + 1) // 2


def words_of(text: pa.ChunkedArray, unit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint64[m]: word hashes of all documents, int64[n]: where the words of each document end)."""
    arguments, offsets = text_arguments(text, unit)
    words, stops = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint64), np.zeros(len(offsets) - 1, np.int64)
    kernel.word_hashes(*arguments, words, stops, *word_scratch(offsets, 1))
    return words[: int(stops[-1]) if len(stops) else 0], stops


def anchors(words: np.ndarray, stops: np.ndarray, length: int) -> Anchors:
    """Return the anchors of documents given by their words; see `words_of`."""
    m = len(words)
    keys, (owner, first, count) = np.empty(m, np.uint64), np.empty((3, m), np.int64)
    found = windows.find_anchors(
        words, stops, length, gram_of(length), np.empty(m + 1, np.uint64), keys, owner, first, count
    )
    keys, owner, first, count = keys[:found], owner[:found], first[:found], count[:found]
    return Anchors(keys, owner, first + np.concatenate([[0], stops])[owner], count)


def places(text: pa.Array | pa.ChunkedArray, unit: Any) -> Places:
    """Return where the words of a column of text are; they are those of `words_of`."""
    arguments, offsets = text_arguments(text, unit)
    first, last = np.empty((2, int(offsets[-1] - offsets[0]) + 1), np.int64)
    stops = np.zeros(len(offsets) - 1, np.int64)
    windows.word_places(*arguments, first, last, stops)
    many = int(stops[-1]) if len(stops) else 0
    return Places(arguments[0], offsets, first[:many], last[:many], stops)


def as_written(text: pa.Array | pa.ChunkedArray, unit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return uint64[m] twice: hashes of the words as they are written, with what follows each of them, and without."""
    found = places(text, unit)
    bounds = np.append(np.stack([found.first, found.last], axis=1).ravel(), found.last[-1:])
    exact = np.empty((max(len(bounds) - 1, 0), 2), np.uint64)
    if len(bounds):
        kernel.hash_bytes(found.data, bounds, exact)
    word, behind = exact[0::2, 0], exact[1::2, 0]
    with np.errstate(over="ignore"):
        return fmix64(word * np.uint64(BASE) + behind), np.ascontiguousarray(word)


def window_keys(units: np.ndarray, last: np.ndarray, length: int, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return uint64[2, sum of count]: 128 bits of count[s] windows from first[s] on; see `loops.windows`."""
    keys = np.empty((2, int(count.sum())), np.uint64)
    scratch = np.empty(int(count.max(initial=0)) + length, np.uint64)
    windows.hash_windows(units, last, length, first, count, scratch, keys)
    return keys
