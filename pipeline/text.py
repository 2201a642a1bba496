"""Text that is safe to show on a page and on a terminal: characters that act are written out, long texts are cut.

Escaping for HTML happens where markup is rendered (Jinja's autoescape and markupsafe).
"""

from __future__ import annotations

import re

ELLIPSIS = "…"
ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line feed
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, no width, separators
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tags
)


def visible(text: str) -> str:
    """Return the text with characters that act instead of being seen written out: NUL becomes ⟨U+0000⟩."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return ACTING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def clipped(text: str, letters: int, lines: int | None = None) -> str:
    """Return the first letters and lines of the visible text, with an ellipsis where something is left out."""
    head = visible(text[: letters + 1])
    cut = len(text) > letters
    if len(head) > letters:
        head, cut = head[: letters - 1], True
    if lines is not None and head.count("\n") >= lines:
        head, cut = "\n".join(head.split("\n")[:lines]), True
    return head.rstrip() + ELLIPSIS if cut else head
