"""The quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1), each a column and a
threshold.

White-space words and occurrences of stop words are DCLM's reading of the rules, distinct stop words
datatrove's. A line is one that is not blank. Leaves out languages other than English for the stop-word rule:
it is skipped for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, threshold
from stages.clean.pieces import Words
from stages.clean.rules import Rule, apply, columns
from stages.documents import LANG, carried

STOP_WORDS = {"en": ("the", "be", "to", "of", "and", "that", "have", "with")}
BULLETS = ("•", "‣", "⁃", "▪", "●", "◦", "-", "*")
ELLIPSES = ("...", "…")

RULES = (
    Rule("min_words", "gopher_words", "int32", "min"),
    Rule("max_words", "gopher_words", "int32", "max"),
    Rule("min_mean_word", "gopher_mean_word", "float32", "min"),
    Rule("max_mean_word", "gopher_mean_word", "float32", "max"),
    Rule("max_hashes", "gopher_hashes", "float32", "max"),
    Rule("max_ellipses", "gopher_ellipses", "float32", "max"),
    Rule("max_bullet_lines", "gopher_bullet_lines", "float32", "max"),
    Rule("max_ellipsis_lines", "gopher_ellipsis_lines", "float32", "max"),
    Rule("min_alpha_words", "gopher_alpha_words", "float32", "min"),
    Rule("min_stop_words", "gopher_stop_words", "int32", "min"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GopherQuality(RowNode):
    """Drop documents that fail the quality rules of Rae et al. 2021, appendix A.1.1; reason
    `gopher_quality.<field>`.

    Adds, for the fields of the same name (None turns a rule off):

    gopher_words           int32    words
    gopher_mean_word       float32  [characters] mean length of a word
    gopher_hashes          float32  `#` per word
    gopher_ellipses        float32  ellipses (`...` or the character) per word
    gopher_bullet_lines    float32  share of lines that begin with a bullet
    gopher_ellipsis_lines  float32  share of lines that end in an ellipsis
    gopher_alpha_words     float32  share of words with a letter
    gopher_stop_words      int32    stop words of its language; null where there is no list for it

    `language` is that of documents without a `lang` column before this node. `distinct_stop_words` counts
    each once.
    """

    docs: Node
    min_words: int | None = threshold(50)
    max_words: int | None = threshold(100_000)
    min_mean_word: float | None = threshold(3.0)
    max_mean_word: float | None = threshold(10.0)
    max_hashes: float | None = threshold(0.1)
    max_ellipses: float | None = threshold(0.1)
    max_bullet_lines: float | None = threshold(0.9)
    max_ellipsis_lines: float | None = threshold(0.3)
    min_alpha_words: float | None = threshold(0.8)
    min_stop_words: int | None = threshold(2)
    words: Words = "whitespace"
    language: str = "en"
    distinct_stop_words: bool = False

    version = 1
    reasons = tuple(f"gopher_quality.{rule.field}" for rule in RULES)

    def adds(self):
        return columns(RULES)

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("text", *carried(self.docs, LANG))

    def open(self, ctx: Context) -> RowFunction:
        return lambda table: Columns(added=self._scores(table))

    def decide(self, scores) -> Removed | None:
        return apply(self, RULES, scores)

    def _scores(self, table) -> dict:
        import numpy as np
        import pyarrow.compute as pc

        from stages.clean import pieces

        text = pieces.flat(table["text"])
        words = pieces.words(text, self.words)
        lines = pieces.lines(text)

        def count(symbol: str) -> np.ndarray:
            return pc.count_substring(text, symbol).to_numpy(zero_copy_only=False)

        def any_of(test, values, symbols):
            marks = [test(values, symbol) for symbol in symbols]
            return np.logical_or.reduce([mark.to_numpy(zero_copy_only=False) for mark in marks])

        bullets = any_of(pc.starts_with, lines.values, BULLETS)[lines.ids]
        trailing = any_of(pc.ends_with, lines.values, ELLIPSES)[lines.ids]
        return {
            "gopher_words": words.counts.astype(np.int32),
            "gopher_mean_word": words.shares(words.sums(words.lengths)),
            "gopher_hashes": words.shares(count("#")),
            "gopher_ellipses": words.shares(np.add(*(count(symbol) for symbol in ELLIPSES))),
            "gopher_bullet_lines": lines.shares(lines.sums(bullets)),
            "gopher_ellipsis_lines": lines.shares(lines.sums(trailing)),
            "gopher_alpha_words": words.shares(words.having(pc.match_substring_regex(words.values, r"\p{L}"))),
            "gopher_stop_words": self._stop_words(table, words),
        }

    def _stop_words(self, table, words):
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        lower = pc.utf8_lower(words.values)
        if LANG in table.column_names:
            languages = np.array([name or "" for name in table[LANG].to_pylist()], dtype=object)
        else:
            languages = np.full(table.num_rows, self.language, dtype=object)
        found = np.zeros(table.num_rows, np.int64)
        known = np.zeros(table.num_rows, bool)
        for language, stop_words in STOP_WORDS.items():
            place = pc.index_in(lower, pa.array(stop_words, lower.type)).fill_null(-1).to_numpy()[words.ids]
            if self.distinct_stop_words:
                hits = sum((words.sums(place == i) > 0).astype(np.int64) for i in range(len(stop_words)))
            else:
                hits = words.sums(place >= 0)
            rows = languages == language
            found, known = np.where(rows, hits, found), known | rows
        return pa.array(found.astype(np.int32), mask=~known)
