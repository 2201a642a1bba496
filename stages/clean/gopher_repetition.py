"""The repetition rules of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1, table A1), each a column
and a threshold.

`stages/loops/ngrams.py` says what is counted. Shares are of all characters of the text, white space among
them; lines and paragraphs are compared without the white space around them, and blank ones are none. Where characters
are the unit, an n-gram of words has 2n characters.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Share
from pipeline.contract import Node, threshold
from stages.clean.cut import COUNTED_BY, GopherWords, Unit
from stages.clean.rules import REPEATED, TOP, Rule, RuleNode

RULES = (
    Rule("max_dup_lines", "gopher_dup_lines", "float32"),
    Rule("max_dup_line_chars", "gopher_dup_line_chars", "float32"),
    Rule("max_dup_paragraphs", "gopher_dup_paragraphs", "float32"),
    Rule("max_dup_paragraph_chars", "gopher_dup_paragraph_chars", "float32"),
    *(Rule(f"max_top_{n}gram", f"gopher_top_{n}gram", "float32") for n in TOP),
    *(Rule(f"max_dup_{n}grams", f"gopher_dup_{n}grams", "float32") for n in REPEATED),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GopherRepetition(RuleNode):
    """Drop documents that repeat themselves, by the 13 rules of Rae et al. 2021; reason
    `gopher_repetition.<field>`.

    Adds a float32 column in [0, 1] for each field (None turns a rule off):

    gopher_dup_lines, gopher_dup_paragraphs            share of lines (paragraphs) that stood before in the document
    gopher_dup_line_chars, gopher_dup_paragraph_chars  the same by characters
    gopher_top_{2,3,4}gram                             share of characters in the most frequent n-gram of words
    gopher_dup_{5..10}grams                            share of characters in n-grams of words that occurred before

    words  as in `gopher_quality`; `datatrove` also takes lines and paragraphs as that library does, and counts a most
           frequent n-gram that occurs once; `dclm` counts as DCLM's code does (`stages.clean.dclm_counts`)
    unit   as in `gopher_quality`
    """

    docs: Node
    max_dup_lines: Share | None = threshold(0.30)
    max_dup_line_chars: Share | None = threshold(0.20)
    max_dup_paragraphs: Share | None = threshold(0.30)
    max_dup_paragraph_chars: Share | None = threshold(0.20)
    max_top_2gram: Share | None = threshold(0.20)
    max_top_3gram: Share | None = threshold(0.18)
    max_top_4gram: Share | None = threshold(0.16)
    max_dup_5grams: Share | None = threshold(0.15)
    max_dup_6grams: Share | None = threshold(0.14)
    max_dup_7grams: Share | None = threshold(0.13)
    max_dup_8grams: Share | None = threshold(0.12)
    max_dup_9grams: Share | None = threshold(0.11)
    max_dup_10grams: Share | None = threshold(0.10)
    words: GopherWords = "whitespace"
    unit: Unit = "auto"

    version = 3
    rules = RULES

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return COUNTED_BY.get(self.words, ())

    def scores(self, table):
        if self.words == "datatrove":
            from stages.clean.datatrove_words import repetition

            return repetition(table["text"])
        if self.words == "dclm":
            from stages.clean.dclm_counts import repetition

            return repetition(table["text"])
        from stages.clean import cut as c
        from stages.clean import repeats

        cut = c.cut(table["text"], self.words, self.unit)
        scores = {}
        for name, joined in (("line", False), ("paragraph", True)):
            many, found, chars = repeats.copies(cut, joined)
            scores[f"gopher_dup_{name}s"] = c.ratio(found, many)
            scores[f"gopher_dup_{name}_chars"] = c.ratio(chars, cut.facts[:, c.CHARS])
        return {**scores, **repeats.ngram_shares(cut.exact, cut.lengths, cut.words, cut.steps, cut.facts[:, c.CHARS])}
