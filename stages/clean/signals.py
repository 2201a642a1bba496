"""The document signals of RedPajama-v2 (Weber et al. 2024, arXiv 2411.12372) under their own names, without thresholds.

Words are runs of letters, marks and digits in lower case, as its normalisation leaves them; raw words stand between
white space. Leaves out what needs a model or a list (perplexity, importance, classifiers, block lists) and the signals
of lines, which are lists and no columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Context, Node, RowFunction, RowNode
from stages.documents import LANG, carried

INTEGERS = ("rps_doc_word_count", "rps_doc_num_sentences")
SHARES = (
    "rps_doc_mean_word_length", "rps_doc_symbol_to_word_ratio", "rps_doc_frac_no_alph_words",
    "rps_doc_frac_all_caps_words", "rps_doc_frac_unique_words", "rps_doc_unigram_entropy", "rps_doc_stop_word_fraction",
    "rps_doc_frac_lines_end_with_ellipsis", "rps_doc_curly_bracket", "rps_doc_lorem_ipsum",
    *(f"rps_doc_frac_chars_top_{n}gram" for n in (2, 3, 4)),
    *(f"rps_doc_frac_chars_dupe_{n}grams" for n in range(5, 11)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals(RowNode):
    """Add the document signals of RedPajama-v2, for `select` and for your own rules; nothing is removed.

    int32: `rps_doc_word_count` (words), `rps_doc_num_sentences`; all others float32:

    rps_doc_mean_word_length              [characters]
    rps_doc_symbol_to_word_ratio          `#`, `...` and the ellipsis, per raw word
    rps_doc_frac_no_alph_words            raw words without a letter
    rps_doc_frac_all_caps_words           raw words with letters, all of them capitals
    rps_doc_frac_unique_words             different words per word
    rps_doc_unigram_entropy               [nats] of the distribution of words
    rps_doc_stop_word_fraction            stop words of its language per word; null where there is no list
    rps_doc_frac_lines_end_with_ellipsis  of the lines that are not blank
    rps_doc_curly_bracket                 `{` and `}` per character
    rps_doc_lorem_ipsum                   "lorem ipsum" per character
    rps_doc_frac_chars_top_{2,3,4}gram, rps_doc_frac_chars_dupe_{5..10}grams  as in `gopher_repetition`

    language  of documents without a `lang` column before this node
    """

    docs: Node
    language: str = "en"

    version = 2
    histograms = {  # noqa: RUF012
        **{name: (0.0, 1.0, 40) for name in SHARES},
        "rps_doc_word_count": (0, 2000, 40),
        "rps_doc_num_sentences": (0, 200, 40),
        "rps_doc_mean_word_length": (0, 16, 32),
        "rps_doc_unigram_entropy": (0, 10, 40),
        "rps_doc_curly_bracket": (0, 0.05, 40),
        "rps_doc_lorem_ipsum": (0, 0.01, 10),
    }

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("text", *carried(self.docs, LANG))

    def adds(self):
        return {**dict.fromkeys(INTEGERS, "int32"), **dict.fromkeys(SHARES, "float32")}

    def open(self, ctx: Context) -> RowFunction:
        return lambda table: Columns(added=self._signals(table))

    def _signals(self, table) -> dict:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous
        from stages.clean import cut as c
        from stages.clean.repeats import entropies, ngram_shares
        from stages.clean.stop_words import rows_of
        from stages.loops.cuts import HAS_LETTER, HAS_LOWER, listed

        text = contiguous(table["text"])
        raw, words = c.cut(text, "whitespace", "auto"), c.cut(text, "unicode", "word")
        kinds, lines = raw.kinds & (HAS_LETTER | HAS_LOWER), raw.per_line(raw.filled)
        distinct, nats = entropies(words)
        rows, stop_words = rows_of(table[LANG] if LANG in table.column_names else None, self.language, len(words))
        found, different = np.empty((2, len(words)), np.int64)
        listed(words.folded, *words.words, rows, stop_words, found, different)
        ellipsis = (raw.line_facts[:, c.DOTS] >= 3) | (raw.line_facts[:, c.LAST] == ord("…"))
        chars = raw.facts[:, c.CHARS]

        def count(pattern: str) -> np.ndarray:
            return pc.count_substring_regex(text, pattern, ignore_case=True).to_numpy(zero_copy_only=False)

        shares = ngram_shares(words.folded, words.lengths, words.words, words.steps, words.per_word(words.lengths))
        return {
            "rps_doc_word_count": words.pieces.astype(np.int32),
            "rps_doc_num_sentences": raw.per_line(raw.line_facts[:, c.SENTENCES]).astype(np.int32),
            "rps_doc_mean_word_length": c.ratio(words.per_word(words.lengths), words.pieces),
            "rps_doc_symbol_to_word_ratio": c.ratio(raw.facts[:, c.HASHES] + raw.facts[:, c.ELLIPSES], raw.pieces),
            "rps_doc_frac_no_alph_words": c.ratio(raw.per_word((kinds & HAS_LETTER) == 0), raw.pieces),
            "rps_doc_frac_all_caps_words": c.ratio(raw.per_word(kinds == HAS_LETTER), raw.pieces),
            "rps_doc_frac_unique_words": c.ratio(distinct, words.pieces),
            "rps_doc_unigram_entropy": nats.astype(np.float32),
            "rps_doc_stop_word_fraction": pa.array(c.ratio(found, words.pieces), mask=rows < 0),
            "rps_doc_frac_lines_end_with_ellipsis": c.ratio(raw.per_line(ellipsis), lines),
            "rps_doc_curly_bracket": c.ratio(count(r"[{}]"), chars),
            "rps_doc_lorem_ipsum": c.ratio(count("lorem ipsum"), chars),
            **{f"rps_doc_frac_chars_top_{n}gram": shares[f"gopher_top_{n}gram"] for n in (2, 3, 4)},
            **{f"rps_doc_frac_chars_dupe_{n}grams": shares[f"gopher_dup_{n}grams"] for n in range(5, 11)},
        }
