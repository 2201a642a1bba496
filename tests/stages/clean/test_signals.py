"""RedPajama-v2's signals against their definitions, said plainly."""

import math
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import DOCS

from stages.clean.signals import Signals
from stages.clean.stop_words import STOP_WORDS


def signals(texts, **columns):
    node = Signals(docs=DOCS)
    added = node.open(None)(pa.table({"text": pa.array(texts, pa.string()), **columns})).added  # pyright: ignore[reportArgumentType]
    return {name: pa.array(added[name], pa.type_for_alias(kind)).to_pylist() for name, kind in node.adds().items()}


def plainly(text: str) -> dict[str, float]:
    raw, words = text.split(), re.findall(r"[^\W_]+", text.lower())
    counts, lines = Counter(words), [line.strip() for line in text.split("\n") if line.strip()]
    letters = [word for word in raw if any(map(str.isalpha, word))]
    of = lambda number, whole: number / max(whole, 1)  # noqa: E731
    return {
        "rps_doc_word_count": len(words),
        "rps_doc_mean_word_length": of(sum(map(len, words)), len(words)),
        "rps_doc_symbol_to_word_ratio": of(text.count("#") + text.count("...") + text.count("…"), len(raw)),
        "rps_doc_frac_no_alph_words": of(len(raw) - len(letters), len(raw)),
        "rps_doc_frac_all_caps_words": of(sum(word == word.upper() for word in letters), len(raw)),
        "rps_doc_frac_unique_words": of(len(counts), len(words)),
        "rps_doc_unigram_entropy": -sum(n / len(words) * math.log(n / len(words)) for n in counts.values()),
        "rps_doc_stop_word_fraction": of(sum(word in STOP_WORDS["en"].split() for word in words), len(words)),
        "rps_doc_frac_lines_end_with_ellipsis": of(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "rps_doc_curly_bracket": of(text.count("{") + text.count("}"), len(text)),
        "rps_doc_lorem_ipsum": of(text.lower().count("lorem ipsum"), len(text)),
    }


word = st.sampled_from(["the", "The", "of", "DOG", "cat", "a1", "12", "#", "...", "x{", "}", "lorem ipsum", "—", "ÉTÉ"])
pages = st.lists(st.tuples(word, st.sampled_from([" ", " ", "\n", "\n\n", "  "])), max_size=60)


@settings(max_examples=80)
@given(st.lists(pages.map(lambda parts: "".join(a + b for a, b in parts)), min_size=1, max_size=4))
def test_signals_are_their_definitions(texts):
    found = signals(texts)
    for i, text in enumerate(texts):
        expected = plainly(text)
        assert {name: found[name][i] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_repeats_sentences_and_unlisted_languages():
    text = "One two three four five six. " * 4
    found = signals([text, text], lang=["en", "tlh"])
    assert found["rps_doc_num_sentences"] == [4, 4]
    assert found["rps_doc_stop_word_fraction"] == [0, None]
    assert found["rps_doc_frac_chars_dupe_5grams"][0] == pytest.approx((19 + 18 + 18) / 88)  # three steps of five words
