"""Text that is safe to show on a page and on a terminal. Characters that act are written out, and long texts are cut.

Escaping for HTML happens where markup is rendered (Jinja's autoescape and markupsafe), for Markdown and JSON here.
"""

from __future__ import annotations

import json
import re
from typing import Any

ELLIPSIS = "…"
ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line feed
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, no width, separators
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tags
)
MARKS = re.compile(r"[\\`*_\[\]<>&|~$!]")  # that begin something in Markdown, also inside of a line


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


def markdown(text: str) -> str:
    """Return the visible text on one line of Markdown, where nothing of it is a mark, a link or HTML."""
    return MARKS.sub(r"\\\g<0>", _on_one_line(text))


def markdown_code(text: str, *, cell: bool = False) -> str:
    """Return the visible text as a code span of Markdown, `cell` in a table: no text of its own can end it."""
    text = _on_one_line(text).replace("|", "\\|" if cell else "|") or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def visible_json(value: Any, indent: int | None = None) -> str:
    """Return JSON that reads as the same value and holds no character that acts; what JSON has no form for is text."""
    text = json.dumps(value, default=str, ensure_ascii=False, indent=indent)
    return ACTING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _on_one_line(text: str) -> str:
    return visible(text).replace("\n", "⟨U+000A⟩").replace("\t", "⟨U+0009⟩")
