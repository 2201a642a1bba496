"""The frozen code point table: which characters make words, and how they are written in lower case.

`code_points.npz` was drawn once from Unicode 14.0.0 (the tables of Python 3.11) and is shipped, so that two
machines with different Python versions hash a newly assigned letter alike. A word character is one that
`re` matches with `\\w`. Two departures from `str.lower`: U+0130 becomes a plain `i` (Python adds a
combining dot, which is no word character and would cut the word), and the final sigma becomes a sigma,
whatever stands after it.

`python -m stages.hashing.code_points` writes the file again from the running Python; a table of another
Unicode version is another version of every node that hashes words.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

TABLE = "code_points.npz"
LAST = 0x110000
ALONE = 8  # bit in `CodePoints.flags`: the character is a word of its own when the unit is `auto`

# Scripts written without spaces: Thai, Lao, Khmer; ideographic marks and numerals; kana; ideographs.
UNSPACED = (
    (0x0E00, 0x0F00), (0x1780, 0x1800), (0x3005, 0x3008), (0x3021, 0x302A), (0x3031, 0x3036),
    (0x3038, 0x303D), (0x3040, 0x3100), (0x31F0, 0x3200), (0x3400, 0x4DC0), (0x4E00, 0xA000),
    (0xF900, 0xFB00), (0xFF66, 0xFFA0), (0x1AFF0, 0x1B170), (0x20000, 0x323B0),
)  # fmt: skip


@dataclass(frozen=True)
class CodePoints:
    """One entry per code point.

    `utf8` uint32[0x110000]: the lower-cased character's UTF-8 bytes, first byte lowest; 0: no word character.
    `flags` uint8[0x110000]: number of those bytes (1 for a separator) | ALONE.
    `lower` uint32[0x110000]: the lower-cased code point; 0 for what is no word character.
    """

    unicode: str
    utf8: np.ndarray
    flags: np.ndarray
    lower: np.ndarray


@cache
def code_points() -> CodePoints:
    """Return the shipped table, expanded: about 10 MB, once per process."""
    with files("stages.hashing").joinpath(TABLE).open("rb") as source, np.load(source) as stored:
        word, mapped, unspaced = stored["word"], stored["lower"], stored["unspaced"]
        unicode = str(stored["unicode"])
    lower = np.zeros(LAST, np.uint32)
    for first, stop in word:
        lower[first:stop] = np.arange(first, stop)
    lower[mapped[:, 0]] = mapped[:, 1]
    letters = np.flatnonzero(lower)
    utf8, flags = np.zeros(LAST, np.uint32), np.ones(LAST, np.uint8)
    utf8[letters], flags[letters] = _encode(lower[letters])
    for first, stop in unspaced:
        flags[first:stop] |= np.where(lower[first:stop] > 0, ALONE, 0).astype(np.uint8)
    return CodePoints(unicode, utf8, flags, lower)


def _encode(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (UTF-8 of each code point as a little-endian uint32[n], its length uint8[n])."""
    tail = [((point >> shift) & 0x3F) | 0x80 for shift in (0, 6, 12)]
    forms = [
        point,
        (0xC0 | (point >> 6)) | (tail[0] << 8),
        (0xE0 | (point >> 12)) | (tail[1] << 8) | (tail[0] << 16),
        (0xF0 | (point >> 18)) | (tail[2] << 8) | (tail[1] << 16) | (tail[0] << 24),
    ]
    size = np.searchsorted([0x80, 0x800, 0x10000], point, side="right")
    return np.choose(size, forms).astype(np.uint32), (size + 1).astype(np.uint8)


def draw() -> dict[str, np.ndarray]:
    """Return the table of the running Python, as the arrays of `code_points.npz`."""
    import sys
    import unicodedata

    if sys.maxunicode + 1 != LAST:
        raise RuntimeError("this Python does not know all code points")
    word = np.array([chr(c).isalnum() or chr(c) == "_" for c in range(LAST)])
    pairs = []
    for c in np.flatnonzero(word).tolist():
        low = {0x130: "i", 0x3C2: "\u03c3"}.get(c) or chr(c).lower()
        if len(low) != 1 or not word[ord(low)]:
            raise RuntimeError(f"U+{c:04X} lowers to {low!r}, which is not one word character")
        if ord(low) != c:
            pairs.append((c, ord(low)))
    bounds = np.flatnonzero(np.diff(word.astype(np.int8), prepend=0, append=0))
    return {
        "word": bounds.reshape(-1, 2).astype(np.int32),
        "lower": np.array(pairs, np.int32),
        "unspaced": np.array(UNSPACED, np.int32),
        "unicode": np.array(unicodedata.unidata_version),
    }


if __name__ == "__main__":
    from pathlib import Path

    table: dict[str, Any] = dict(draw())
    np.savez_compressed(Path(__file__).with_name(TABLE), **table)
