"""RedPajama-v2's signals against its published code (app/src/core, release 2023-11), said again in a few lines."""

import math
import re
import string
import unicodedata
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import DOCS

from pipeline.errors import RecipeError
from pipeline.graph import build
from stages.clean.signals import Signals
from stages.clean.stop_words import STOP_WORDS
from stages.read.read import Read

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def signals(texts, **columns):
    node = Signals(docs=DOCS)
    added = node.open(None)(pa.table({"text": pa.array(texts, pa.string()), **columns})).added  # pyright: ignore[reportArgumentType]
    return {name: pa.array(added[name], pa.type_for_alias(kind)).to_pylist() for name, kind in node.adds().items()}


def ngrams(words, n):
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def top(words, n) -> float:
    (most,) = Counter(ngrams(words, n)).most_common(1) or [((), 0)]
    return sum(map(len, most[0])) * most[1] / sum(map(len, words)) if most[1] > 1 else 0.0


def dupe(words, n) -> float:
    found = ngrams(words, n)
    again = {gram for gram, count in Counter(found).items() if count > 1}
    covered = {i + j for i, gram in enumerate(found) if gram in again for j in range(n)}
    return sum(len(words[i]) for i in covered) / sum(map(len, words)) if words else 0.0


def published(text: str) -> dict[str, float | None]:
    plain = unicodedata.normalize("NFD", re.sub(r"\s+", " ", text.translate(NO_PUNCTUATION).lower().strip()))
    raw, words = re.findall(r"\w+|[^\w\s]+", text), plain.split()
    lines = re.findall(r"([^\n]*\n|[^\n]+$)", text)
    counts = Counter(words)
    of = lambda number, whole: number / whole if whole else None  # noqa: E731
    return {
        "rps_doc_word_count": len(words),
        "rps_doc_num_sentences": len(re.findall(r"\b[^.!?]+[.!?]*", text)),
        "rps_doc_mean_word_length": of(sum(map(len, words)), len(words)),
        "rps_doc_symbol_to_word_ratio": of(text.count("#") + text.count("...") + text.count("…"), len(raw)),
        "rps_doc_frac_no_alph_words": of(sum(re.search("[a-zA-Z]", word) is None for word in raw), len(raw)),
        "rps_doc_frac_all_caps_words": of(sum(map(str.isupper, raw)), len(raw)),
        "rps_doc_frac_unique_words": of(len(counts), len(words)),
        "rps_doc_unigram_entropy": -sum(n / len(words) * math.log(n / len(words)) for n in counts.values())
        if words
        else None,
        "rps_doc_stop_word_fraction": of(sum(word in STOP_WORDS["en"].split() for word in raw), len(raw)),
        "rps_doc_frac_lines_end_with_ellipsis": of(
            sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)
        ),
        "rps_doc_curly_bracket": (text.count("{") + text.count("}")) / max(len(text), 1),
        "rps_doc_lorem_ipsum": plain.count("lorem ipsum") / len(plain) if plain else 0.0,
        **{f"rps_doc_frac_chars_top_{n}gram": top(words, n) for n in (2, 3, 4)},
        **{f"rps_doc_frac_chars_dupe_{n}grams": dupe(words, n) for n in range(5, 11)},
    }


word = st.sampled_from([
    "the", "The", "of", "DOG", "cat", "a1", "12", "#", "...", "x{", "}", "Lorem, ipsum", "—", "ÉTÉ", "don't", "B2B",
    "well-known", "«mot»", "end.", "why?!", "_x_", "3.14", "naïve", "e.g.", "한국",
])  # fmt: skip
pages = st.lists(st.tuples(word, st.sampled_from([" ", " ", " ", "\n", "\n\n", "  ", "\u00a0"])), max_size=80)


@settings(max_examples=150, deadline=None)
@given(st.lists(pages.map(lambda parts: "".join(a + b for a, b in parts)), min_size=1, max_size=4))
def test_signals_are_those_of_the_published_code(texts):
    found = signals(texts)
    for i, text in enumerate(texts):
        expected = published(text)
        assert set(expected) == set(found)
        for name, value in expected.items():
            assert found[name][i] == (value if value is None else pytest.approx(value, abs=1e-5)), name


def test_a_document_without_words_has_no_ratios_of_words():
    found = signals(["—— !!"])
    assert found["rps_doc_word_count"] == [1]
    assert signals(["!!"])["rps_doc_mean_word_length"] == [None]


def test_unlisted_languages_have_no_stop_words():
    assert signals(["the cat of", "the cat of"], lang=["en", "tlh"])["rps_doc_stop_word_fraction"] == [
        pytest.approx(2 / 3), None
    ]  # fmt: skip


def test_a_language_without_stop_words_is_told_by_the_plan():
    with pytest.raises(RecipeError, match=r"signals\.language: 'xx', which has no stop words"):
        build([Signals(docs=Read(paths=("a.jsonl",)), language="xx")])
