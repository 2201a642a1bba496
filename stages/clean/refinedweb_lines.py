"""The line rules of RefinedWeb (Penedo et al. 2023, arXiv 2306.01116, appendix G.2), as DCLM reconstructed them.

A document from which more than a twentieth of the words had to be taken goes whole: what such lines stand among is
seldom prose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Count, Positive, Share
from pipeline.contract import Columns, Node, threshold
from stages.clean.rules import Rule, RuleNode

COUNTER = (
    r"^\W*\d(?:,|\.|\d)*(?:k|m|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes"
    r"|downloads|views|followers)\W*$"
)
# Any three characters behind "read more": the dots of the reconstruction are those of a regular expression.
PHRASES = r"\s?items in cart|\s?read more...$|^sign-in\s?"
PHRASE_WORDS = 10  # phrases are looked for in lines of so many words at most

LINE_RULES = ("upper_case", "digits", "counter", "few_words", "phrase")
RULES = (
    Rule("max_removed_words", "refinedweb_removed_words", "float32"),
    Rule("min_left_chars", "refinedweb_left_chars", "int32"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RefinedwebLines(RuleNode):
    """Drop lines that are no prose, and documents that are made of them; reason `refinedweb_lines.<field>`.

    A line that is not empty goes for the first of these; the text is what remains (None or false turns a rule off):

    max_upper_case    more than this share of its characters are capitals
    max_digits        more than this share are digits
    counters          the line is a counter, like "3 likes"
    min_line_words    words of the line, at least (not asked in scripts without spaces)
    phrases           the line is nothing but "items in cart", "read more..." at its end, "sign-in" at its beginning; a
                      line of at most 10 words that holds more than these words loses them

    words  `dclm`: of the words that went, those that begin with a letter or a digit count, as in DCLM's code

    Adds `refinedweb_upper_case`, `refinedweb_digits`, `refinedweb_counter`, `refinedweb_few_words`, `refinedweb_phrase`
    int32 (lines gone or changed for each), `refinedweb_removed_words` float32 (share of the words that went) and
    `refinedweb_left_chars` int32 (characters that remain; a document without any goes).
    """

    docs: Node
    max_upper_case: Share | None = 0.5
    max_digits: Share | None = 0.999999
    counters: bool = True
    min_line_words: Count | None = 2
    phrases: bool = True
    words: Literal["whitespace", "dclm"] = "whitespace"
    max_removed_words: Share | None = threshold(0.05)
    min_left_chars: Positive = threshold(1)

    version = 2
    changes_text = True
    rules = RULES
    bins = {"refinedweb_left_chars": (0, 10_000, 50), **{f"refinedweb_{rule}": (0, 100, 50) for rule in LINE_RULES}}  # noqa: RUF012

    def adds(self):
        return {**{f"refinedweb_{rule}": "int32" for rule in LINE_RULES}, **super().adds()}

    def rows(self, table) -> Columns:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous
        from stages.clean import cut as c
        from stages.clean.edits import Lines, joined, lines_of

        text = contiguous(table["text"])
        cut = c.cut(text, "whitespace", "auto")
        lines = Lines(cut, blank=True)
        facts, words, owner = lines.facts, lines.words, lines.owner
        chars = np.maximum(facts[:, c.LINE_CHARS], 1)

        def above(share: float | None, fact: int) -> np.ndarray:
            return lines.none() if share is None else facts[:, fact] / chars > share

        lines.take("upper_case", above(self.max_upper_case, c.UPPER))
        lines.take("digits", above(self.max_digits, c.LINE_DIGITS))
        counters = lines.none()
        if self.counters:
            # a counter has at least two words, and few of them: a number, a name, and marks around them
            some = np.flatnonzero(lines.left & (words >= 2) & (words <= 8) & (facts[:, c.LINE_DIGITS] > 0))
            held = lines_of(cut, lines.places[some], whole=False)
            counters[some] = pc.match_substring_regex(held, COUNTER, ignore_case=True).to_numpy(zero_copy_only=False)
        lines.take("counter", counters)
        few = (words < (self.min_line_words or 0)) & (facts[:, c.LINE_CHARS] > 0) & ~cut.chars_unit[owner]
        lines.take("few_words", few)
        at = np.flatnonzero(lines.left)
        changed, texts, kept = self._phrases(lines_of(cut, lines.places[at], whole=True), words[at])
        lines.gone["phrase"] = phrases = lines.none()
        phrases[at[changed]] = True
        lines.left[at[~kept]] = False
        touched = lines.count(~lines.left | phrases) > 0
        new = pc.utf8_trim_whitespace(joined(texts, owner[lines.left], len(cut)))
        before, after = cut.counts, cut.counts.copy()
        if touched.any():
            changed_texts = new.filter(pa.array(touched))
            if self.words == "dclm":
                from stages.clean.dclm_counts import words as counted

                before = before.copy()
                before[touched] = [counted(each) for each in text.filter(pa.array(touched)).to_pylist()]
                after[touched] = [counted(each) for each in changed_texts.to_pylist()]
            else:
                after[touched] = c.cut_fresh(changed_texts, "whitespace", "auto").counts

        return Columns(
            added={
                **{f"refinedweb_{rule}": lines.count(lines.gone[rule]) for rule in LINE_RULES},
                "refinedweb_removed_words": c.ratio(np.maximum(before - after, 0), before),
                "refinedweb_left_chars": pc.utf8_length(new).cast(pa.int32()),
            },
            text=pc.if_else(pa.array(touched), new, pa.scalar(None, pa.string())),
        )

    def _phrases(self, lines, words):
        """(which lines lose a phrase, bool; the lines that stay, without it; which ones those are, bool)."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        changed, kept = np.zeros(len(lines), bool), np.ones(len(lines), bool)
        if not self.phrases:
            return changed, lines, kept
        holding = pc.match_substring_regex(lines, PHRASES, ignore_case=True).to_numpy(zero_copy_only=False)
        changed = holding & (words <= PHRASE_WORDS)
        if not changed.any():
            return changed, lines, kept
        cleared = pc.replace_substring_regex(lines, f"(?i:{PHRASES})", "")
        lines = pc.if_else(pa.array(changed), cleared, lines)
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(lines)), 0).to_numpy(zero_copy_only=False)
        kept = ~(changed & blank)
        return changed, lines.filter(pa.array(kept)), kept
