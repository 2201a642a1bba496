"""The line rules of C4 as DCLM's code applies them (Li et al. 2024, `baselines/mappers/modifiers.py`).

Where its code differs from the paper's: an apostrophe ends no sentence, an ellipsis character does; white space behind
the mark does not matter; empty lines stay, lines of white space go with the first rule about ends or words; lines keep
the white space around them, and only the rules about phrases take what stands at both ends of the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stages.clean.c4_phrases import CITATION, LOREM, POLICY, SCRIPT

END, ELLIPSIS = re.compile(r'[.!?"\u2026]\s*$'), re.compile(r"(?:\.\.\.|\u2026)\s*$")


def editor(node: Any) -> Callable[[str], tuple[str, dict[str, int]]]:
    """Return the function from a text to its rest, and the counts of `stages.clean.c4`, sentences apart."""
    citation, policy = re.compile(CITATION), re.compile("|".join(POLICY), re.IGNORECASE)

    def rule_of(line: str) -> str | None:
        words = line.split()
        if node.max_word_chars and any(len(word) > node.max_word_chars for word in words):
            return "long_word"
        ends = END.search(line) and (node.keep_ellipsis or not ELLIPSIS.search(line))
        if line and node.end_mark and not ends:
            return "no_end"
        if line and len(words) < (node.min_line_words or 0):
            return "few_words"
        return None

    def edit(text: str) -> tuple[str, dict[str, int]]:
        text = citation.sub("", text) if node.citations else text
        counts: dict[str, int] = dict.fromkeys(
            ("lines", "long_word", "no_end", "few_words", "javascript", "policy", "lorem_ipsum", "curly_brackets"), 0
        )
        kept = []
        for line in text.split("\n"):
            full = bool(line.strip())
            counts["lines"] += full
            rule, low = rule_of(line), line.lower()
            counts["lorem_ipsum"] += rule is None and LOREM in low
            if rule is None and node.javascript and SCRIPT in low:
                rule = "javascript"
            counts["curly_brackets"] += rule is None and "{" in line
            if rule is None and node.policy and policy.search(line):
                rule = "policy"
            if rule is None:
                kept.append(line)
            else:
                counts[rule] += full
        left = "\n".join(kept)
        return left.strip() if node.javascript or node.policy else left, counts

    return edit
