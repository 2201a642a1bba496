"""Text that is safe to show on a page and on a terminal: no secrets, no characters that act, and not too long.

Escaping for HTML happens where markup is rendered (Jinja's autoescape and markupsafe), for Markdown and JSON here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.files.secrets import masked, masked_json

ELLIPSIS = "…"
ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line feed
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, no width, separators
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tags
)
MARKS = re.compile(r"[\\`*_\[\]<>&|~$!]")  # that begin something in Markdown, also inside of a line


def visible(text: str) -> str:
    """Return the text without secrets, and with characters that act written out: NUL becomes ⟨U+0000⟩."""
    text = masked(text, uris=False).replace("\r\n", "\n").replace("\r", "\n")
    return ACTING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def clipped(text: str, letters: int, lines: int | None = None) -> str:
    """Return the first letters and lines of the visible text, with an ellipsis where something is left out."""
    text = masked(text[: letters + 4096], uris=False)  # before it is cut: half of a secret is no longer found
    head, cut = visible(text[: letters + 1]), len(text) > letters
    if len(head) > letters:
        head, cut = head[: letters - 1], True
    if lines is not None and head.count("\n") >= lines:
        head, cut = "\n".join(head.split("\n")[:lines]), True
    return head.rstrip() + ELLIPSIS if cut else head


def quoted(text: str, letters: int = 200) -> str:
    """Return the beginning of what a stranger said, for an error: on one line, and without what it repeats of ours."""
    return repr(clipped(" ".join(masked(text[:65536]).split()), letters))


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
    """Return JSON that reads as the same value but for secrets, and holds no character that acts; what JSON has no form
    for is text.
    """
    text = masked_json(value, uris=False, ensure_ascii=False, indent=indent)
    return ACTING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _on_one_line(text: str) -> str:
    return visible(text).replace("\n", "⟨U+000A⟩").replace("\t", "⟨U+0009⟩")
