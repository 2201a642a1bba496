"""One form for spellings of one text: compatibility forms composed (NFKC), and characters that nobody sees left out.

A page that a Mac has written has its accents apart (NFD), one that was copied from a screen has zero-width spaces in
its words, and neither hides a passage.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

UNSEEN = (
    "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # soft hyphen, zero-width space and joiners, word joiner, byte-order mark
)


def one_form(text: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return texts in that form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipeline.contract import contiguous

    whole: Any = contiguous(text)
    plain = pc.fill_null(pc.string_is_ascii(whole), True)
    if pc.all(plain).as_py() in (True, None):
        return whole
    some = whole.filter(pc.invert(plain))
    seen = pc.replace_substring_regex(some, f"[{UNSEEN}]", "")
    return pc.replace_with_mask(whole, pc.invert(plain), pc.utf8_normalize(seen, form="NFKC").cast(whole.type)).cast(
        pa.string()
    )


def one_form_of(text: str) -> str:
    """Return a text in that form."""
    import pyarrow as pa

    return one_form(pa.array([text.encode("utf-8", "replace").decode()], pa.string()))[0].as_py()


@cache
def _parts() -> re.Pattern[str]:
    """A run of the letters of Hangul, which compose to syllables, or a character with the marks behind it."""
    marks = (chr(c) for c in range(0x300, 0x20000) if unicodedata.category(chr(c)).startswith("M"))
    return re.compile(f"[\\u1100-\\u11ff{UNSEEN}]+|(?s:.)[{''.join(map(re.escape, marks))}{UNSEEN}]*")


def with_places(text: str) -> tuple[str, list[int]]:
    """Return a text in that form, and the place in the text as it was where each of its characters begins, with its
    length behind them.

    Characters are composed with the marks behind them alone, so each part of the text has its place.
    """
    if text.isascii():
        return text, list(range(len(text) + 1))
    parts = _parts().findall(text)
    begins = [0, *accumulate(map(len, parts))]
    forms = [unicodedata.normalize("NFKC", re.sub(f"[{UNSEEN}]", "", part)) for part in parts]
    places = [at for form, at in zip(forms, begins, strict=False) for _ in form]
    return "".join(forms), [*places, len(text)]
