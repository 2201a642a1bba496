"""How much work a page is for a parser, told from its source before anything is parsed.

Parsers of HTML take time that grows with the elements around every tag, and with the square of the attributes of one
tag. Both are counted here, so that a bound of them does not depend on the machine. The count is of the source and not
of a tree: an end tag closes the last open element of its name, wherever that is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

NAME = r"</?[a-zA-Z][a-zA-Z0-9:-]*+"
COMMENT = r"<!--(?:[^-]++|-(?!-!?>))*+"
TOKEN = re.compile(f"{COMMENT}|{NAME}")
# where SVG or MathML may stand, a tag's end counts too: `<path/>` is closed there, `<span/>` elsewhere is not
TOKEN_AND_END = re.compile(f"{COMMENT}|{NAME}(?:[^>]*/(?=>))?")
FOREIGN = re.compile("<(?:svg|math)", re.IGNORECASE)
LONG = re.compile(r"<[a-zA-Z][^>]{1000,}")  # a tag that may have many attributes
QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
FLAT, OPENS, CLOSES, CLOSED, RAW = range(5)  # what a tag does; CLOSED closes itself, after RAW there are no tags
# elements that hold nothing, or that the next one of their kind closes
FLAT_NAMES = frozenset(
    "a area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody tfoot "
    "colgroup option optgroup rt rp html head body".split()
)
RAW_NAMES = frozenset("script style textarea title xmp iframe noembed noframes".split())
PAIRS_OF_ATTRIBUTES = 200  # that take a parser as long as one element around one tag


class Work(NamedTuple):
    """depth  most elements that are open at once
    steps  elements around each tag, added up over the tags
    """

    depth: int
    steps: int


def most(html: str) -> Work:
    """What the work of a page cannot exceed, told by its length and its `<` alone: enough for most pages."""
    tags = html.count("<")
    return Work(tags, tags * tags + (len(html) // 2) ** 2 // PAIRS_OF_ATTRIBUTES)


def work(html: str) -> Work:
    """Linear in the length of the page."""
    found = TOKEN_AND_END if FOREIGN.search(html) else TOKEN
    tags = map(_Tags().__getitem__, found.findall(html))
    is_open: defaultdict[str, int] = defaultdict(int)
    depth = deepest = steps = 0
    for name, kind in tags:
        steps += depth
        if kind == CLOSES:
            if is_open[name]:
                is_open[name] -= 1
                depth -= 1
        elif kind != FLAT:
            foreign = is_open["svg"] or is_open["math"]
            if kind == RAW and not foreign:
                next((tag for tag in tags if tag == (name, CLOSES)), None)
            elif not (kind == CLOSED and foreign):
                is_open[name] += 1
                depth += 1
                if depth > deepest:
                    deepest = depth
    return Work(deepest, steps + sum(_attributes(tag) ** 2 for tag in LONG.findall(html)) // PAIRS_OF_ATTRIBUTES)


def _attributes(tag: str) -> int:
    """How many attributes a tag has at most."""
    bare = QUOTED.sub(" ", tag)
    return len(bare.replace("/", " ").split()) - 1


class _Tags(dict[str, tuple[str, int]]):
    """What a token is: its name in small letters, and what it does."""

    def __missing__(self, token: str) -> tuple[str, int]:
        slash = token[1] == "/"
        name = token[1 + slash :].split(maxsplit=1)[0].rstrip("/").lower()
        if token[1] == "!" or name in FLAT_NAMES:
            kind = FLAT
        elif slash:
            kind = CLOSES
        else:
            kind = RAW if name in RAW_NAMES else CLOSED if token[-1] == "/" else OPENS
        if len(token) < 40:  # a tag with its attributes does not come again
            self[token] = name, kind
        return name, kind
