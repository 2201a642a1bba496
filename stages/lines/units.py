"""The lines or paragraphs of documents, and their keys.

A unit is known by 64 bits of its words: among n different units, a false repeat is expected n^2 / 2^65 times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, contiguous
from stages.hashing.sketch import byte_hashes, sketch

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Units:
    """The m units of a batch of n documents, in order.

    text    Arrow array[m]
    starts  int64[n + 1]: the first unit of each document
    owner   int64[m]: its document in the batch
    key     uint64[m]
    counts  bool[m]: it has `min_words` words
    """

    text: pa.Array
    starts: np.ndarray
    owner: np.ndarray
    key: np.ndarray
    counts: np.ndarray


def units(ctx: Context, text: pa.ChunkedArray) -> Units:
    """Split the texts of a batch as the node's `unit` says, and hash the pieces as its `match` says."""
    import pyarrow as pa
    import pyarrow.compute as pc

    node: Any = ctx.node
    whole = pc.fill_null(contiguous(text).cast(pa.large_string()), "")
    pieces = pc.split_pattern(whole, "\n") if node.unit == "line" else pc.split_pattern_regex(whole, r"\n[ \t\r]*\n\s*")
    found = pieces.flatten()
    sizes = pc.list_value_length(pieces).to_numpy()
    by_words = sketch(found, keys=False)
    trimmed = pc.utf8_trim_whitespace(found)
    form = pc.utf8_lower(trimmed) if node.match == "lower" else trimmed
    exact = by_words.exact if node.match == "words" else byte_hashes(form)[0]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return Units(found, starts, owner, exact[:, 0], by_words.words >= node.min_words)
