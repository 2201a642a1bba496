"""The bytes of a web page to text: the charset that the server or the page names, else detection (uchardet, through
resiliparse). A name that means nothing, or that the bytes contradict, is passed over."""

from __future__ import annotations

import codecs
import re

META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
HEAD = 4096  # bytes in which a page may name its charset
# What browsers read under a name (encoding.spec.whatwg.org) where Python's codec of that name lacks letters.
WIDER = {
    "shift_jis": "cp932", "euc_kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-11": "cp874",
}  # fmt: skip
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decode_page(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """(text, the charset that it was in). Characters that no charset explains become U+FFFD, NULs go."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    mark = next((mark for mark in MARKS if data.startswith(mark)), None)
    if mark is not None:
        return _text(data[len(mark) :], MARKS[mark], "replace") or "", MARKS[mark]
    meta = META.search(data[:HEAD])
    for name in (declared, meta.group(1).decode("ascii") if meta else None, "utf-8"):
        known = map_encoding_to_html5(name, fallback_utf8=False) if name else None
        if known is None or (known.startswith("utf-16") and b"\0" not in data):  # its markup has a NUL in each sign
            continue
        known = WIDER.get(known, known)
        text = _text(data, known, "strict")
        if text is not None:
            return text, known
    found = detect_encoding(data) or "cp1252"
    return bytes_to_str(data, found, errors="replace").replace("\0", ""), found


def _text(data: bytes, name: str, errors: str) -> str | None:
    try:
        return data.decode(name, errors).replace("\0", "")
    except (UnicodeDecodeError, LookupError):
        return None
