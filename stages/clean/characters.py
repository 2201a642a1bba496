"""Properties of a character that the rules use: white space, letter, mark, digit, upper case, end of a sentence.

The classes are Arrow's (RE2 and utf8proc), as the bytes of a result are promised for one version of pyarrow anyway.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LAST = 0x110000
ASSIGNED = 0x20000  # beyond: ideographs (letters without case), private use, and a few marks of variants

# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, ideographs. Tibetan marks its syllables.
UNSPACED = (
    (0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x17D4), (0x2E80, 0x2FE0), (0x3005, 0x3008), (0x3021, 0x302A),
    (0x3031, 0x3036), (0x3038, 0x303D), (0x3041, 0x3100), (0x31F0, 0x3200), (0x3400, 0x4DC0), (0x4E00, 0xA000),
    (0xA9E0, 0xAA00), (0xAA60, 0xAA80), (0xF900, 0xFB00), (0xFF66, 0xFF9E), (0x1B000, 0x1B170), (0x20000, 0x323B0),
)  # fmt: skip
# What ends a sentence, in the scripts of the larger languages.
ENDS = ".?!…‼⁇⁈⁉‽⸮。．｡！？﹒﹖﹗।॥۔؟؞።፧፨։܀܁܂။၊។៕៖࠽᙮᠃᠉߹꓿꘎꘏꛳꛷"
CLOSERS = "\"'”’»)]}›」』）】〉》"
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


@cache
def table() -> tuple[np.ndarray, np.ndarray]:
    """(bits of `stages.loops.cuts` for each code point, uint16; its lower case, uint32); [0x110000]."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from stages.loops import cuts

    points = np.setdiff1d(np.arange(ASSIGNED), np.arange(0xD800, 0xE000))
    text = pa.array([chr(c) for c in points.tolist()])
    flags, lower = np.zeros(LAST, np.uint16), np.arange(LAST, dtype=np.uint32)

    def have(mask: pa.Array, bits: int) -> None:
        flags[points[mask.to_numpy(zero_copy_only=False)]] |= np.uint16(bits)

    have(pc.match_substring_regex(text, r"\p{L}"), cuts.LETTER | cuts.WORD)
    have(pc.match_substring_regex(text, r"\p{M}"), cuts.MARK | cuts.WORD)
    have(pc.match_substring_regex(text, r"\p{N}"), cuts.WORD)
    have(pc.match_substring_regex(text, r"\p{Nd}"), cuts.DIGIT)
    have(pc.match_substring_regex(text, r"\p{Lu}"), cuts.UPPER)
    flags[0x20000:0x323B0] |= np.uint16(cuts.LETTER | cuts.WORD)
    flags[0xE0100:0xE01F0] |= np.uint16(cuts.MARK | cuts.WORD)
    for characters, bit in ((SPACES, cuts.SPACE), (ENDS, cuts.END), (CLOSERS, cuts.CLOSER)):
        flags[[ord(c) for c in characters]] |= np.uint16(bit)
    for first, stop in UNSPACED:
        letters = (flags[first:stop] & cuts.LETTER) != 0
        flags[first:stop] |= np.where(letters, cuts.ALONE, 0).astype(np.uint16)
    lower[points] = [ord(c[0]) for c in pc.utf8_lower(text).to_pylist()]
    return flags, lower


@cache
def decomposed() -> np.ndarray:
    """How many characters each code point is in the form NFD, uint8 [0x110000]."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    points = np.setdiff1d(np.arange(ASSIGNED), np.arange(0xD800, 0xE000))
    text = pa.array([chr(c) for c in points.tolist()])
    found = np.ones(LAST, np.uint8)
    found[points] = pc.utf8_length(pc.utf8_normalize(text, form="NFD")).to_numpy(zero_copy_only=False)
    return found
