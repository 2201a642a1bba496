"""Texts cut into words, lines or paragraphs, as numbers: what the statistics of documents are computed on.

A batch is cut at once, and every distinct piece gets one number, so that a rule which looks at a piece (does
it hold a letter, is it a stop word) looks at each distinct one once, and a rule which compares pieces
compares integers.

Words are the runs between white space (`whitespace`, the choice of DCLM: thresholds made for it hold), or
`unicode`: runs of letters, marks, digits and inner apostrophes, without the punctuation, and single
characters in the scripts that put no spaces between words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pipeline.contract import contiguous

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Words = Literal["whitespace", "unicode"]

# Han, kana, Thai, Lao, Myanmar, Khmer: no spaces between words
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}"
# White space beyond ASCII's six. It is made plain first, since Arrow's own split at Unicode white space reads
# past the end of texts that end in it (26.0.1: sometimes one word too many), and takes twice as long.
_ODD_SPACE = "[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_NO_WORD = r"[^\p{L}\p{M}\p{N}'’]+"


@dataclass(frozen=True)
class Pieces:
    """The pieces of D documents, P in all.

    ids      int32 [P], which distinct piece, in document order
    offsets  int64 [D + 1], where each document begins
    values   the distinct pieces, strings
    """

    ids: np.ndarray
    offsets: np.ndarray
    values: pa.Array

    @cached_property
    def counts(self) -> np.ndarray:
        """Pieces per document, int64 [D]."""
        import numpy as np

        return np.diff(self.offsets)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Characters of every piece, int32 [P]."""
        import pyarrow.compute as pc

        return pc.utf8_length(self.values).to_numpy(zero_copy_only=False).astype("int32")[self.ids]

    def sums(self, numbers: np.ndarray) -> np.ndarray:
        """Per document, the sum over its pieces of a number for each piece [P]; int64 [D]."""
        import numpy as np

        total = np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])
        return total[self.offsets[1:]] - total[self.offsets[:-1]]

    def having(self, mask: pa.Array) -> np.ndarray:
        """Per document, how many pieces a mask over the distinct pieces holds for; int64 [D]."""
        return self.sums(mask.to_numpy(zero_copy_only=False)[self.ids])

    def shares(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers per document [D] divided by its pieces; 0 where there are none. float32 [D]."""
        import numpy as np

        return (numbers / np.maximum(self.counts, 1)).astype(np.float32)


def flat(text: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The texts of a batch as one array of 64-bit offsets: split pieces of a batch may pass 2 GiB."""
    import pyarrow as pa

    return contiguous(text).cast(pa.large_string())


def words(text: pa.Array, mode: Words) -> Pieces:
    import pyarrow.compute as pc

    if mode == "unicode":
        apart = pc.replace_substring_regex(text, f"([{_UNSPACED}])", r" \1 ")
        split = pc.split_pattern(pc.replace_substring_regex(apart, _NO_WORD, " "), " ")
        return _pieces(split, lambda piece: pc.utf8_trim(piece, "'’"))
    return _pieces(pc.ascii_split_whitespace(pc.replace_substring_regex(text, _ODD_SPACE, " ")))


def lines(text: pa.Array) -> Pieces:
    """Lines without the white space around them; blank ones are none."""
    import pyarrow.compute as pc

    return _pieces(pc.split_pattern(text, "\n"), pc.utf8_trim_whitespace)


def paragraphs(text: pa.Array) -> Pieces:
    """What stands between blank lines, without the white space around it."""
    import pyarrow.compute as pc

    return _pieces(pc.split_pattern_regex(text, r"\n\s*\n"), pc.utf8_trim_whitespace)


def _pieces(split: pa.Array, trim: Callable[[pa.Array], pa.Array] | None = None) -> Pieces:
    import numpy as np
    import pyarrow.compute as pc

    offsets = split.offsets.to_numpy().astype(np.int64)
    encoded = split.flatten().dictionary_encode()
    ids, distinct, offsets = encoded.indices.to_numpy(), encoded.dictionary, offsets - offsets[0]
    if trim is not None:
        again = trim(distinct).dictionary_encode()
        ids, distinct = again.indices.to_numpy()[ids], again.dictionary
    blank = pc.equal(pc.binary_length(distinct), 0).to_numpy(zero_copy_only=False)
    if blank.any():
        full = ~blank[ids]
        kept = np.concatenate([[0], np.cumsum(full, dtype=np.int64)])
        ids, offsets = ids[full], kept[offsets]
    return Pieces(ids.astype(np.int32), offsets, distinct)
