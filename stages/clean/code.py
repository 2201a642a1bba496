"""Files of source code, by the rules of StarCoder's data (Li et al. 2023, arXiv 2305.06161, section 3).

They are those of Codex (Chen et al. 2021) and two more.

Leaves out what needs a language's grammar: comments, visible text of HTML, extensions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.bounds import Amount, Count, Share
from pipeline.contract import Node, threshold
from stages.clean.rules import Rule, RuleNode

RULES = (
    Rule("max_line", "code_max_line", "int32"),
    Rule("max_mean_line", "code_mean_line", "float32"),
    Rule("min_alnum", "code_alnum", "float32"),
    Rule("min_letters_per_word", "code_letters_per_word", "float32"),
    Rule("min_lines", "code_lines", "int32"),
    Rule("max_lines", "code_lines", "int32"),
    Rule("max_xml", "code_xml", "int32"),
)
HEADER = "<?xml version="
XML = rf"^(?s:.{{0,{100 - len(HEADER)}}}){re.escape(HEADER)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Code(RuleNode):
    """Drop files that are data, generated or minified rather than written code; reason `code.<field>`.

    Adds, for the fields of the same name (None turns a rule off):

    code_max_line          int32    [characters] the longest line
    code_mean_line         float32  [characters] the mean line
    code_alnum             float32  share of characters that are letters or digits
    code_letters_per_word  float32  letters per run between white space
    code_lines             int32    lines; a line feed at the end of the file begins no further one
    code_xml               int32    1: an XML header stands in the first 100 characters
    """

    docs: Node
    max_line: Count | None = threshold(1000)
    max_mean_line: Amount | None = threshold(100.0)
    min_alnum: Share | None = threshold(0.25)
    min_letters_per_word: Amount | None = threshold(1.5)
    min_lines: Count | None = threshold(10)
    max_lines: Count | None = threshold(20_000)
    max_xml: Count | None = threshold(0)

    version = 2
    rules = RULES
    bins = {  # noqa: RUF012
        "code_max_line": (0, 2000, 40), "code_mean_line": (0, 200, 40), "code_lines": (0, 2000, 40),
        "code_letters_per_word": (0, 20, 40), "code_xml": (0, 2, 2),
    }  # fmt: skip

    def scores(self, table):
        return _scores(table["text"])


def _scores(column) -> dict:
    import numpy as np
    import pyarrow.compute as pc

    from pipeline.contract import contiguous
    from stages.clean import cut as c

    text = contiguous(column)
    cut = c.cut(text, "whitespace", "word")
    pieces = cut.line_span[1] - cut.line_span[0]
    facts = cut.line_facts[cut.own_lines()]
    first = np.cumsum(pieces) - pieces
    longest = np.maximum.reduceat(facts[:, c.LINE_CHARS], first) if len(pieces) else pieces
    feeds = pieces - 1
    lines = pieces - ((feeds > 0) & pc.ends_with(text, "\n").to_numpy(zero_copy_only=False))
    letters, digits, chars = (cut.facts[:, i] for i in (c.LETTERS, c.DIGITS, c.CHARS))
    return {
        "code_max_line": longest.astype(np.int32),
        "code_mean_line": c.ratio(chars - feeds, lines),
        "code_alnum": c.ratio(letters + digits, chars),
        "code_letters_per_word": c.ratio(letters, cut.pieces),
        "code_lines": lines.astype(np.int32),
        "code_xml": pc.match_substring_regex(text, XML).cast("int32"),
    }
