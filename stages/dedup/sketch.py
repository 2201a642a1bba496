"""From an Arrow column of text to sketches: buffers in place, numba where it can be had, numpy where not."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.contract import contiguous
from stages.dedup.codepoints import ALONE, code_points
from stages.dedup.shingles import DEFAULT, Scheme, band_constants, permutations
from stages.loops.constants import CHUNK, LANE, PLACES, SECTION
from stages.loops.machine_code import Loop

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["numba", "numpy"]


@dataclass(frozen=True)
class Sketches:
    """Of n documents. What was not asked for has no columns.

    signatures  uint32[n, places]  all ones for a document without words
    keys        uint64[n, bands]   of no meaning for a document without words
    exact       uint64[n, 2]       128-bit hash of the sequence of words
    words       int64[n]           units found; 0 = null, empty, or nothing but separators
    """

    signatures: np.ndarray
    keys: np.ndarray
    exact: np.ndarray
    words: np.ndarray


@Loop
def _sketch():
    from stages.loops.kernel import sketch

    return sketch


@Loop
def _hash_bytes():
    from stages.loops.kernel import hash_bytes

    return hash_bytes


@cache
def best_form() -> Form:
    return "numba" if importlib.util.find_spec("numba") else "numpy"


def sketch(
    text: pa.Array | pa.ChunkedArray,
    scheme: Scheme = DEFAULT,
    *,
    signatures: bool = False,
    keys: bool = True,
    exact: bool = True,
    form: Form | None = None,
) -> Sketches:
    """Sketches of a column of strings; TypeError for another type. Other threads run meanwhile."""
    data, offsets = buffers(text)
    n = len(offsets) - 1
    made = Sketches(
        np.empty((n, scheme.places if signatures else 0), np.uint32),
        np.empty((n, scheme.bands if keys else 0), np.uint64),
        np.empty((n, 2 if exact else 0), np.uint64),
        np.empty(n, np.int64),
    )
    outputs = (made.signatures, made.keys, made.exact, made.words)
    if (form or best_form()) == "numpy":
        from stages.dedup import kernel_numpy

        with np.errstate(over="ignore"):
            kernel_numpy.sketch(data, offsets, scheme, *outputs)
        return made
    table = code_points()
    a, b = permutations(scheme)
    if not signatures and not keys:
        a, b = a[:0], b[:0]
    pad = -len(a) % PLACES
    a, b = (np.append(draw, draw[:1].repeat(pad)) for draw in (a, b))
    how = (scheme.unit == "char", ALONE if scheme.unit == "auto" else 0, scheme.ngram, a, b, *band_constants(scheme))
    room = scratch(offsets, scheme.ngram)
    minima = (_room(len(room[3]), np.uint32), _room(len(a), np.uint32), _room(2, np.uint64))
    _sketch(data, offsets, table.utf8, table.flags, *how, *outputs, *room, *minima)
    return made


def scratch(offsets: np.ndarray, ngram: int) -> tuple[np.ndarray, ...]:
    """What a loop over the words of documents works in: normalised text, word bounds, long words, words, n-grams."""
    longest = int(np.diff(offsets).max(initial=0))
    tokens = CHUNK + SECTION + ngram
    return (
        _room(2 * longest + 3 * LANE, np.uint8),
        _room(SECTION + LANE, np.uint16),
        _room(SECTION // 2 + LANE, np.uint16),
        _room(tokens, np.uint64),
        _room(tokens, np.uint64),
    )


def _room(count: int, kind: type) -> np.ndarray:
    """Memory that begins with a line of the cache: a lane that lies across two is written in twice the time."""
    size = count * np.dtype(kind).itemsize
    held = np.empty(size + LANE, np.uint8)
    first = -held.ctypes.data % LANE
    return held[first : first + size].view(kind)


def byte_hashes(text: pa.Array | pa.ChunkedArray, form: Form | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(uint64[n, 2], int64[n]): 128-bit hash of each document's bytes, and their number; 0 bytes for null."""
    data, offsets = buffers(text)
    exact = np.empty((len(offsets) - 1, 2), np.uint64)
    if (form or best_form()) == "numpy":
        from stages.dedup import kernel_numpy

        with np.errstate(over="ignore"):
            kernel_numpy.hash_bytes(data, offsets, exact)
    else:
        _hash_bytes(data, offsets, exact)
    return exact, np.diff(offsets)


def buffers(text: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(data uint8[m], offsets int64[n + 1]) of a text column, the text not copied; null becomes empty."""
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
    """Compile the kernel, or load what was compiled before, ahead of anything that is timed or run in parallel."""
    import pyarrow as pa

    # `pa.array` of Python objects would import pandas, to see whether they are its own.
    one = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\x0c\0\0\0"), pa.py_buffer(b"one document"))
    sketch(one)
    byte_hashes(one)
