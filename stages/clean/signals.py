"""The document signals of RedPajama-v2 (Weber et al. 2024, arXiv 2411.12372) under their own names, without thresholds.

They are counted as its published code counts them; `stages/loops/signals.py` says what its raw and its normalised words
are, `stages/loops/ngrams.py` how it counts n-grams. Two things differ: stop words are those of our lists, which are
shorter, and letters without case keep a word from being all in capitals. Leaves out what needs a model or a list
(perplexity, importance, classifiers, block lists) and the signals of lines, which are lists and no columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.contract import Columns, Node
from stages.batches import BatchNode
from stages.clean.stop_words import require_stop_words
from stages.documents import LANG, carried

INTEGERS = ("rps_doc_word_count", "rps_doc_num_sentences")
LOREM = r"lorem[[:punct:]]*\s[\s[:punct:]]*ipsum"  # the punctuation of ASCII is no part of the normalised text
SHARES = (
    "rps_doc_mean_word_length", "rps_doc_symbol_to_word_ratio", "rps_doc_frac_no_alph_words",
    "rps_doc_frac_all_caps_words", "rps_doc_frac_unique_words", "rps_doc_unigram_entropy", "rps_doc_stop_word_fraction",
    "rps_doc_frac_lines_end_with_ellipsis", "rps_doc_curly_bracket", "rps_doc_lorem_ipsum",
    *(f"rps_doc_frac_chars_top_{n}gram" for n in (2, 3, 4)),
    *(f"rps_doc_frac_chars_dupe_{n}grams" for n in range(5, 11)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals(BatchNode):
    """Add the document signals of RedPajama-v2, for `select` and for your own rules; nothing is removed.

    int32: `rps_doc_word_count` (normalised words), `rps_doc_num_sentences`; all others float32, those of words and of
    lines null for a document without any:

    rps_doc_mean_word_length              [characters] of normalised words
    rps_doc_symbol_to_word_ratio          `#`, `...` and the ellipsis, per raw word
    rps_doc_frac_no_alph_words            raw words without a letter from a to z
    rps_doc_frac_all_caps_words           raw words with letters, all of them capitals
    rps_doc_frac_unique_words             different ones per normalised word
    rps_doc_unigram_entropy               [nats] of the distribution of normalised words
    rps_doc_stop_word_fraction            stop words of its language per raw word; null where there is no list
    rps_doc_frac_lines_end_with_ellipsis  of all lines
    rps_doc_curly_bracket                 `{` and `}` per character
    rps_doc_lorem_ipsum                   "lorem ipsum" per character of the normalised text
    rps_doc_frac_chars_top_{2,3,4}gram    of the characters of normalised words, those in their most frequent n-gram
    rps_doc_frac_chars_dupe_{5..10}grams  of these characters, those in n-grams that occur more than once

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

    def check(self) -> None:
        require_stop_words("signals.language", self.language)

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("text", *carried(self.docs, LANG))

    def adds(self):
        return {**dict.fromkeys(INTEGERS, "int32"), **dict.fromkeys(SHARES, "float32")}

    def rows(self, table) -> Columns:
        return Columns(added=self._signals(table))

    def _signals(self, table) -> dict:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous
        from stages.clean import cut as c
        from stages.clean.characters import decomposed
        from stages.clean.characters import table as characters
        from stages.clean.repeats import entropies, ngram_shares
        from stages.clean.stop_words import rows_of
        from stages.loops import signals as loops

        text: Any = contiguous(table["text"])
        (data, offsets), (flags, lower), documents = c.text_buffers(text), characters(), len(text)
        rows, stop_words = rows_of(table[LANG] if LANG in table.column_names else None, self.language, documents)
        raw = np.empty((documents, 5), np.int64)
        loops.raw_words(data, offsets, flags, stop_words, rows, raw)
        raw_words, latin, capitals, stops, sentences = raw.T
        most = int(offsets[-1] - offsets[0]) // 2 + documents + 1
        words, lengths, starts = np.empty(most, np.uint64), np.empty(most, np.int32), np.empty(documents + 1, np.int64)
        many = loops.normalised_words(data, offsets, flags, lower, decomposed(), words, lengths, starts)
        words, lengths, span, count = words[:many], lengths[:many], np.stack([starts[:-1], starts[1:]]), np.diff(starts)
        sums = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        word_chars = sums[starts[1:]] - sums[starts[:-1]]
        distinct, nats = entropies(words, span)
        shares = ngram_shares(words, lengths, span, np.ones(documents, np.int64), word_chars, redpajama=True)
        cut = c.cut(text, "whitespace", "auto")
        ellipses = (cut.line_facts[:, c.DOTS] >= 3) | (cut.line_facts[:, c.LAST] == ord("…"))
        # what stands behind the last line feed is a line if it is anything
        lines = cut.line_span[1] - cut.line_span[0] - pc.match_substring_regex(text, r"(?:^|\n)\z").to_numpy(False)
        symbols, chars = cut.facts[:, c.HASHES] + cut.facts[:, c.ELLIPSES], cut.facts[:, c.CHARS]

        def per(numbers, whole) -> pa.Array:
            return pa.array(c.ratio(numbers, whole), mask=whole == 0)

        def occurrences(pattern: str) -> np.ndarray:
            return pc.count_substring_regex(text, pattern, ignore_case=True).to_numpy(zero_copy_only=False)

        return {
            "rps_doc_word_count": count.astype(np.int32),
            "rps_doc_num_sentences": sentences.astype(np.int32),
            "rps_doc_mean_word_length": per(word_chars, count),
            "rps_doc_symbol_to_word_ratio": per(symbols, raw_words),
            "rps_doc_frac_no_alph_words": per(raw_words - latin, raw_words),
            "rps_doc_frac_all_caps_words": per(capitals, raw_words),
            "rps_doc_frac_unique_words": per(distinct, count),
            "rps_doc_unigram_entropy": pa.array(nats.astype(np.float32), mask=count == 0),
            "rps_doc_stop_word_fraction": pa.array(c.ratio(stops, raw_words), mask=(rows < 0) | (raw_words == 0)),
            "rps_doc_frac_lines_end_with_ellipsis": per(cut.per_line(ellipses), lines),
            "rps_doc_curly_bracket": c.ratio(occurrences(r"[{}]"), chars),
            "rps_doc_lorem_ipsum": c.ratio(occurrences(LOREM), word_chars + np.maximum(count - 1, 0)),
            **{f"rps_doc_frac_chars_top_{n}gram": shares[f"gopher_top_{n}gram"] for n in (2, 3, 4)},
            **{f"rps_doc_frac_chars_dupe_{n}grams": shares[f"gopher_dup_{n}grams"] for n in range(5, 11)},
        }
