"""Any text made fit to be shown: no control or direction characters that act, no surrogates, no more than fits.

Escaping for HTML is not done here but where markup is made (Jinja's autoescape and markupsafe).
"""

from __future__ import annotations

import re

ELLIPSIS = "…"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
DIRECTION = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f]")
SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Control characters as their pictures (NUL becomes ␀), marks of direction and no width as ⟨U+202E⟩."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = SURROGATE.sub("\ufffd", text)
    text = CONTROL.sub(_picture, text)
    return DIRECTION.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def clipped(text: str, letters: int, lines: int | None = None) -> str:
    """The visible text's first letters and lines, with an ellipsis where something is left out."""
    head = visible(text[: letters + 1])
    cut = len(text) > letters
    if len(head) > letters:
        head, cut = head[: letters - 1], True
    if lines is not None and head.count("\n") >= lines:
        head, cut = "\n".join(head.split("\n")[:lines]), True
    return head.rstrip() + ELLIPSIS if cut else head


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"
