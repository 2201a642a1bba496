"""What DCLM's code counts, by hand: every copy, its own words, no white space, one limit for both symbols."""

import pyarrow as pa
import pytest

from stages.clean.dclm_counts import quality, repetition, words
from stages.clean.tidy import addresses


def of(function, text, *more):
    return {name: values[0] for name, values in function(pa.array([text]), *more).items()}


def test_every_copy_counts_and_shares_are_of_the_characters_in_lines():
    found = of(repetition, "one two\n\n  one two  \n\nlast of all")
    assert found["gopher_dup_lines"] == pytest.approx(2 / 3)
    assert found["gopher_dup_line_chars"] == pytest.approx(14 / 25)
    assert found["gopher_dup_paragraphs"] == pytest.approx(2 / 3)
    assert of(repetition, "one line")["gopher_dup_lines"] == 0.0
    assert of(repetition, " \n ")["gopher_dup_lines"] == 1.0  # such a page goes


def test_grams_are_of_words_between_unicode_boundaries_without_punctuation():
    found = of(repetition, "it's late, it's late - and the end")
    assert found["gopher_top_2gram"] == pytest.approx(2 * 8 / 25)
    assert found["gopher_top_3gram"] == 0.0
    five = of(repetition, "a b c d e. A B; a b c d e")
    assert five["gopher_dup_5grams"] == pytest.approx(10 / 12)


def test_words_symbols_and_stop_words():
    assert words("It is - (not) a\u00a0b ... 3 words\n") == 5
    found = of(quality, "The end ... of the # road . . . \u2026\n- so", False)
    assert found["gopher_hashes"] == pytest.approx(4 / 13)
    assert (found["gopher_ellipses"], found["gopher_stop_words"]) == (0.0, 3)
    assert (found["gopher_bullet_lines"], found["gopher_ellipsis_lines"]) == (0.5, 0.5)
    assert of(quality, "The end of the road", True)["gopher_stop_words"] == 2


def test_names_of_hosts_go_where_a_text_begins_with_a_domain():
    without = addresses(["com", "org", "th"])
    assert without("The page   x.example.com/a?b is on http://a.org.") == ("The page is on", 2)
    assert without("A page www.example.com and 10.0.0.1:80 too") == ("A page www.example.com and too", 1)
