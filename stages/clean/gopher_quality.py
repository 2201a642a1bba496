"""The quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1), each a column and a
threshold.

White-space words and occurrences of stop words are DCLM's reading of the rules, distinct stop words datatrove's. A line
is one that is not blank. Where characters are the unit, and in Korean, whose characters are syllables, words have no
mean length; a language without a list has no stop words, nor have Chinese and Japanese, whose lists are of characters,
in a document that is counted in words. Those rules are left out there, and `gopher_skipped` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Amount, Count, Share
from pipeline.contract import Node, threshold
from stages.clean.cut import COUNTED_BY, GopherWords, Unit
from stages.clean.rules import Rule, RuleNode
from stages.clean.stop_words import require_stop_words
from stages.documents import LANG, carried

SYLLABIC = "ko"  # its words have spaces between them, and two or three characters, each of which is a syllable
BULLETS = "•‣⁃▪●◦-*"

RULES = (
    Rule("min_words", "gopher_words", "int32"),
    Rule("max_words", "gopher_words", "int32"),
    Rule("min_mean_word", "gopher_mean_word", "float32"),
    Rule("max_mean_word", "gopher_mean_word", "float32"),
    Rule("max_hashes", "gopher_hashes", "float32"),
    Rule("max_ellipses", "gopher_ellipses", "float32"),
    Rule("max_bullet_lines", "gopher_bullet_lines", "float32"),
    Rule("max_ellipsis_lines", "gopher_ellipsis_lines", "float32"),
    Rule("min_alpha_words", "gopher_alpha_words", "float32"),
    Rule("min_stop_words", "gopher_stop_words", "int32"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GopherQuality(RuleNode):
    """Drop documents that fail the quality rules of Rae et al. 2021, appendix A.1.1; reason
    `gopher_quality.<field>`.

    Adds, for the fields of the same name (None turns a rule off):

    gopher_words           int32    words
    gopher_mean_word       float32  [characters] mean length of a word; null in characters as unit and in Korean
    gopher_hashes          float32  `#` per word
    gopher_ellipses        float32  ellipses (`...` or the character) per word
    gopher_bullet_lines    float32  share of lines that begin with a bullet
    gopher_ellipsis_lines  float32  share of lines that end in an ellipsis
    gopher_alpha_words     float32  share of words with a letter
    gopher_stop_words      int32    stop words of its language; null where there is no list for it
    gopher_skipped         string   the rules that could not judge the document, comma between; null: all could

    words                `whitespace`, `unicode` (without punctuation), or `datatrove`: that library's English words and
                         its counting throughout, for equal verdicts (extra `parity`); or `dclm`: as DCLM's code counts
                         (`stages.clean.dclm_counts`), where `max_hashes` limits `#` and ellipses together
    unit                 the unit of a word; `auto`: two characters make a word where a quarter of the letters
                         are of a script without spaces
    language             language of documents without a `lang` column before this node
    distinct_stop_words  counts each stop word once
    """

    docs: Node
    min_words: Count | None = threshold(50)
    max_words: Count | None = threshold(100_000)
    min_mean_word: Amount | None = threshold(3.0)
    max_mean_word: Amount | None = threshold(10.0)
    max_hashes: Amount | None = threshold(0.1)
    max_ellipses: Amount | None = threshold(0.1)
    max_bullet_lines: Share | None = threshold(0.9)
    max_ellipsis_lines: Share | None = threshold(0.3)
    min_alpha_words: Share | None = threshold(0.8)
    min_stop_words: Count | None = threshold(2)
    words: GopherWords = "whitespace"
    unit: Unit = "auto"
    language: str = "en"
    distinct_stop_words: bool = False

    version = 3
    rules = RULES
    others = {"gopher_skipped": "string"}  # noqa: RUF012
    bins = {"gopher_words": (0, 2000, 40), "gopher_mean_word": (0, 16, 32)}  # noqa: RUF012

    def check(self) -> None:
        require_stop_words("gopher_quality.language", self.language)

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return COUNTED_BY.get(self.words, ())

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("text", *carried(self.docs, LANG))

    def scores(self, table):
        if self.words == "datatrove":
            from stages.clean.datatrove_words import quality

            return quality(table["text"])
        if self.words == "dclm":
            from stages.clean.dclm_counts import quality

            return quality(table["text"], self.distinct_stop_words)
        import numpy as np
        import pyarrow as pa

        from stages.clean import cut as c
        from stages.loops.cuts import HAS_LETTER

        cut = c.cut(table["text"], self.words, self.unit)
        lines = cut.per_line(cut.filled)
        first, last, dots = (cut.line_facts[:, i] for i in (c.FIRST, c.LAST, c.DOTS))
        bullets = np.isin(first, [ord(bullet) for bullet in BULLETS])
        stop_words, unlisted, syllabic = self._stop_words(table, cut)
        unmeasured = cut.chars_unit | syllabic
        skipped = np.where(unmeasured, np.where(unlisted, "mean_word,stop_words", "mean_word"), "stop_words")
        return {
            "gopher_words": cut.counts.astype(np.int32),
            "gopher_mean_word": pa.array(c.ratio(cut.per_word(cut.lengths), cut.pieces), mask=unmeasured),
            "gopher_hashes": c.ratio(cut.facts[:, c.HASHES], cut.counts),
            "gopher_ellipses": c.ratio(cut.facts[:, c.ELLIPSES], cut.counts),
            "gopher_bullet_lines": c.ratio(cut.per_line(bullets), lines),
            "gopher_ellipsis_lines": c.ratio(cut.per_line((dots >= 3) | (last == ord("…"))), lines),
            "gopher_alpha_words": c.ratio(cut.per_word((cut.kinds & HAS_LETTER) != 0), cut.pieces),
            "gopher_stop_words": pa.array(stop_words.astype(np.int32), mask=unlisted),
            "gopher_skipped": pa.array(skipped.astype(object), pa.string(), mask=~(unmeasured | unlisted)),
        }

    def _stop_words(self, table, cut):
        """(stop words of each document, where there is no list for it, where a character is a syllable)."""
        import numpy as np

        from stages.clean.stop_words import OF_CHARACTERS, row_of, rows_of
        from stages.loops.cuts import listed

        rows, words = rows_of(table[LANG] if LANG in table.column_names else None, self.language, len(cut))
        found, distinct = np.empty((2, len(cut)), np.int64)
        listed(cut.folded, *cut.words, rows, words, found, distinct)
        of_characters = np.isin(rows, [row_of(language) for language in OF_CHARACTERS])
        unlisted = (rows < 0) | (of_characters & ~cut.chars_unit)
        return distinct if self.distinct_stop_words else found, unlisted, rows == row_of(SYLLABIC)
