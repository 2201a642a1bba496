"""From an Arrow column of text to sketches: its buffers are read where they lie, by the loops of `stages.loops`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import contiguous
from stages.hashing.code_points import ALONE, code_points
from stages.hashing.scheme import DEFAULT, Scheme, Unit
from stages.hashing.shingles import band_constants, permutations
from stages.loops.constants import BLOCK, CHUNK, LANE, LANES, SECTION

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Sketches:
    """Sketches of n documents. Parts that were not asked for have no columns.

    signatures  uint32[n, places]; all ones for a document without words
    keys        uint64[n, bands]; without meaning for a document without words
    exact       uint64[n, 2]: 128-bit hash of the sequence of words
    words       int64[n]: units found; 0 = null, empty, or nothing but separators
    """

    signatures: np.ndarray
    keys: np.ndarray
    exact: np.ndarray
    words: np.ndarray


def sketch(
    text: pa.Array | pa.ChunkedArray,
    scheme: Scheme = DEFAULT,
    *,
    signatures: bool = False,
    keys: bool = True,
    exact: bool = True,
) -> Sketches:
    """Return the sketches of a column of strings. Other threads run meanwhile. Raises TypeError for another type."""
    from stages.loops import kernel

    arguments, offsets = text_arguments(text, scheme.unit)
    n = len(offsets) - 1
    found = Sketches(
        np.empty((n, scheme.places if signatures else 0), np.uint32),
        np.empty((n, scheme.bands if keys else 0), np.uint64),
        np.empty((n, 2 if exact else 0), np.uint64),
        np.empty(n, np.int64),
    )
    a, b = permutations(scheme)
    if not signatures and not keys:
        a, b = a[:0], b[:0]
    pad = -len(a) % LANES
    a, b = (np.append(draw, draw[:1].repeat(pad)) for draw in (a, b))
    scratch = word_scratch(offsets, scheme.ngram)
    minima = (np.empty(len(scratch[3]) + BLOCK, np.uint32), np.empty(len(a), np.uint32), np.empty(2, np.uint64))
    kernel.sketch(
        *arguments, scheme.ngram, a, b, *band_constants(scheme),
        found.signatures, found.keys, found.exact, found.words, *scratch, *minima,
    )  # fmt: skip
    return found


def byte_hashes(text: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint64[n, 2], int64[n]): 128-bit hash of each document's bytes, and their number; 0 bytes for null."""
    from stages.loops import kernel

    data, offsets = buffers(text)
    exact = np.empty((len(offsets) - 1, 2), np.uint64)
    kernel.hash_bytes(data, offsets, exact)
    return exact, np.diff(offsets)


def word_hashes(text: str, unit: Unit = "word") -> np.ndarray:
    """Return uint64[t]: the 64-bit hash of every unit of one text, in order."""
    import pyarrow as pa

    from stages.loops import kernel

    # A lone surrogate is no UTF-8; what stands for it is a separator, as the surrogate itself is.
    arguments, offsets = text_arguments(pa.array([text.encode("utf-8", "replace").decode()], pa.string()), unit)
    found, stops = np.empty(int(offsets[-1]) + 1, np.uint64), np.empty(1, np.int64)
    kernel.word_hashes(*arguments, found, stops, *word_scratch(offsets, 1))
    return found[: int(stops[0])]


def text_arguments(text: pa.Array | pa.ChunkedArray, unit: Unit) -> tuple[tuple, np.ndarray]:
    """Return (the first arguments of every loop over words, int64[n + 1]: where each document begins and ends)."""
    data, offsets = buffers(text)
    table = code_points()
    return (data, offsets, table.utf8, table.flags, int(unit == "char"), ALONE if unit == "auto" else 0), offsets


def word_scratch(offsets: np.ndarray, ngram: int) -> tuple[np.ndarray, ...]:
    """Return the scratch of a loop over the words of documents: normalised text, word bounds, words, n-grams.

    Lower case may take twice the bytes of the text, with a separator after every character. Behind the text stand
    three lanes, which are read or written beyond its end.
    """
    longest = int(np.diff(offsets).max(initial=0))
    tokens = CHUNK + SECTION + ngram
    return (
        np.empty(2 * longest + 3 * LANE, np.uint8),
        np.empty(2 * (SECTION + LANE), np.uint8),
        np.empty(tokens, np.uint64),
        np.empty(tokens, np.uint64),
    )


def buffers(text: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return (data uint8[m], offsets int64[n + 1]) of a text column, the text not copied; null becomes empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = contiguous(text)
    if pa.types.is_dictionary(text.type) or pa.types.is_string_view(text.type):
        text = text.cast(pa.large_string())
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise TypeError(f"text must be a column of strings, found {text.type}")
    if text.null_count:  # what lies under a null is undefined
        text = pc.fill_null(text, "")
    _, starts, body = text.buffers()
    width = np.int64 if pa.types.is_large_string(text.type) else np.int32
    if starts is None or len(text) == 0:
        return np.zeros(0, np.uint8), np.zeros(len(text) + 1, np.int64)
    offsets = np.frombuffer(starts, width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    return np.frombuffer(body if body is not None else b"", np.uint8), offsets


def warm() -> None:
    """Compile the kernel, or load the compiled one, ahead of anything that is timed or run in parallel."""
    from stages.loops import kernel

    del kernel
    code_points()
