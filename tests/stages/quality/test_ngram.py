"""The n-gram model: probabilities that sum to 1, the textbook sums by hand, KenLM's own reading of the ARPA file."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from stages.quality.ngram import END, UNKNOWN, estimate, load, save, write_arpa


def sentences(count: int = 400, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    words = "the a cat dog sat ran on under mat log and then it was small big".split()
    weights = [1 / (i + 1) for i in range(len(words))]
    return [rng.choices(words, weights, k=rng.randint(1, 9)) for _ in range(count)]


@pytest.fixture(scope="module")
def model():
    return estimate(sentences(), order=3, min_count=2)


@pytest.mark.parametrize("context", [[], ["the"], ["the", "cat"], ["never", "seen"], ["log", "log"]])
def test_probabilities_behind_any_context_sum_to_1(model, context):
    total = sum(10 ** model.log10([*context, word])[len(context)] for word in model.words if word not in ("<s>", END))
    total += 10 ** model.log10(context)[len(context)]
    assert total == pytest.approx(1.0, abs=1e-5)


def test_one_order_of_a_few_words_by_hand():
    # a 4 times, b 3, c 2, d 1, and 4 ends: counts of counts 1, 1, 1, 2
    model = estimate([["a", "a", "b"], ["a", "b", "c"], ["a", "b"], ["c", "d"]], order=1)
    y = 1 / (1 + 2 * 1)
    taken = {1: 1 - 2 * y, 2: 2 - 3 * y, 3: 3 - 4 * y * 2, 4: 3 - 4 * y * 2}
    counts = {"a": 4, "b": 3, "c": 2, "d": 1, END: 4}
    total = sum(counts.values())
    left = sum(taken[count] for count in counts.values()) / total
    for word, count in counts.items():
        found = model.log10([word])[0] if word != END else model.log10([])[0]
        assert 10**found == pytest.approx((count - taken[count]) / total + left / 6, rel=1e-6)
    assert 10 ** model.log10(["zzz"])[0] == pytest.approx(left / 6, rel=1e-6)


def test_text_like_the_training_text_is_less_surprising(model):
    usual = model.perplexity(sentences(50, seed=1))
    odd = model.perplexity([list(reversed("the cat sat on then mat".split())), ["zebra", "quantum", "log"]])
    assert usual < odd
    assert model.perplexity([]) is None


def test_an_arpa_file_gives_kenlm_the_same_probabilities(model, tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="the optional package kenlm reads ARPA files here")
    write_arpa(model, tmp_path / "model.arpa")
    theirs = kenlm.Model(str(tmp_path / "model.arpa"))
    for words in [*sentences(40, seed=2), ["never", "the", "cat"], []]:
        expected = [score for score, _, _ in theirs.full_scores(" ".join(words))]
        np.testing.assert_allclose(model.log10(words), expected, atol=1e-5)


def test_an_arpa_file_says_what_the_model_says(model, tmp_path):
    write_arpa(model, tmp_path / "model.arpa")
    lines = (tmp_path / "model.arpa").read_text().splitlines()
    assert lines[1:4] == [f"ngram {n}={len(order.keys)}" for n, order in enumerate(model.orders, 1)]
    given = {line.split("\t")[1]: float(line.split("\t")[0]) for line in lines if line.count("\t")}
    assert given["the"] == pytest.approx(float(model.orders[0].logp[model.words.index("the")]), rel=1e-6)
    seen = next(text for text in given if text.count(" ") == 2 and text.startswith("<s>") and END not in text)
    words = seen.split()[1:]
    assert model.log10(words)[1] == pytest.approx(given[seen], abs=1e-5)
    assert given[UNKNOWN] < 0


def test_a_saved_model_is_the_same_bytes_and_the_same_model(model, tmp_path):
    for name in ("a", "b"):
        save(estimate(sentences(), order=3, min_count=2), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = load(tmp_path / "a")
    assert again.words == model.words
    for text in sentences(20, seed=3):
        assert np.array_equal(again.log10(text), model.log10(text))


def test_too_little_text_and_one_word():
    with pytest.raises(ValueError, match="no sentence"):
        estimate([], order=3)
    model = estimate([["a"]], order=3)
    assert math.isfinite(model.perplexity([["a"], ["b", "c"]]))


def test_words_that_look_like_the_marks_of_a_sentence_are_unknown_ones():
    """`<s>` is a tag of HTML too; as the mark itself it would begin a sentence, whose probability is next to none."""
    prose = [["the", "cat", "sat"], ["a", "dog", "sat", "down"]] * 5
    odd = [["the", "<s>", "sat"], ["a", "</s>", "sat", "<unk>"]] * 5
    plain = [[{"<s>": "?", "</s>": "!", "<unk>": ";"}.get(word, word) for word in words] for words in odd]
    seen, other = (estimate(prose + each, 3, min_count=100) for each in (odd, plain))
    assert seen.perplexity(odd) == other.perplexity(plain)
    seen, other = (estimate(prose, 3) for _ in range(2))
    assert seen.perplexity(odd) == other.perplexity(plain)


def test_rare_words_are_many_words_and_a_list_of_them_is_no_likely_text():
    prose = [[*words, f"name{at}"] for at, words in enumerate(sentences())]
    usual = [[*words, "elsewhere"] for words in sentences(50, seed=1)]
    names = [[f"other{at}"] for at in range(50)]
    model = estimate(prose, order=3, min_count=2)
    assert model.perplexity(usual) < model.perplexity(names)
