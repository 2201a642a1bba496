"""The rules of C4 and FineWeb as datatrove's filters apply them, for verdicts and texts equal to theirs.

Lines are those of `str.splitlines` (C4) or stand between line feeds (FineWeb); C4's mark of an end is looked for before
the white space that a citation leaves is taken, sentences are spaCy's, and lines are equal with the white space around.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.contract import contiguous
from stages.clean.c4_phrases import CITATION, LOREM, POLICY, SCRIPT

if TYPE_CHECKING:
    import pyarrow as pa


def editor(node: Any) -> Callable[[str], tuple[str, dict[str, int]]]:
    """Return the function from a text to its rest, and the counts of `stages.clean.c4`, sentences among them."""
    import re

    from stages.clean.datatrove_words import sentences

    citation, ends = re.compile(CITATION), node.marks()

    def rule_of(line: str, words: list[str]) -> str | None:
        if node.end_mark and (not line.endswith(ends) or (line.endswith("...") and not node.keep_ellipsis)):
            return "no_end"
        if len(words) < (node.min_line_words or 0):
            return "few_words"
        return None

    def edit(text: str) -> tuple[str, dict[str, int]]:
        counts: dict[str, int] = dict.fromkeys(
            ("lines", "long_word", "no_end", "few_words", "javascript", "policy", "lorem_ipsum", "curly_brackets",
             "sentences"), 0,
        )  # fmt: skip
        kept = []
        for each in text.splitlines():
            line = each.strip()
            full, words = bool(line), line.split()
            counts["lines"] += full
            if node.max_word_chars and any(len(word) > node.max_word_chars for word in words):
                counts["long_word"] += 1
                continue
            line = citation.sub("", line) if node.citations else line
            if (rule := rule_of(line, words)) is not None:
                counts[rule] += full
                continue
            low = line.lower()
            counts["lorem_ipsum"] += LOREM in low
            if node.javascript and SCRIPT in low:
                counts["javascript"] += 1
                continue
            counts["curly_brackets"] += "{" in line
            if node.policy and any(phrase in low for phrase in POLICY):
                counts["policy"] += 1
                continue
            counts["sentences"] += sentences(line)
            kept.append(line)
        return "\n".join(kept).strip(), counts

    return edit


def fineweb(text: pa.ChunkedArray | pa.Array, short: int) -> dict[str, Any]:
    """The columns of `fineweb_quality`; `short`: characters of a short line, at most."""
    import numpy as np
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    from stages.clean.datatrove_words import copies, word_counts

    ends, names = tuple(TERMINAL_PUNCTUATION), ("line_ends", "short_lines", "dup_line_chars", "newlines")
    texts, rows = contiguous(text).to_pylist(), []
    for each, words in zip(texts, word_counts(text).tolist(), strict=True):
        newlines = each.count("\n")
        lines = [line for line in each.split("\n") if line.strip()]
        many = max(len(lines), 1)
        rows.append(
            (
                sum(line.endswith(ends) for line in lines) / many, sum(len(line) <= short for line in lines) / many,
                copies(lines)[2] / max(len(each) - newlines, 1), newlines / max(words, 1),
            )
        )  # fmt: skip
    found = np.array(rows, float).reshape(-1, len(names)).T.astype(np.float32)
    return {f"fineweb_{name}": values for name, values in zip(names, found, strict=True)}
