"""The word difference of two texts: nothing lost, nothing marked that both have, long equal runs left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.difference import LETTERS, compared
from pipeline.safe_text import ELLIPSIS, clipped, visible

WORDS = st.lists(st.sampled_from(["a", "b", "cat", "dog", "run,"]), max_size=20).map(" ".join)


def text_of(spans, kinds=("same", "changed")):
    return "".join(span.text for span in spans if span.kind in kinds)


@given(WORDS, WORDS)
def test_short_texts_are_shown_whole_and_their_equal_parts_agree(left, right):
    ours, theirs, _ = compared(left, right)
    if not any(span.kind == "skipped" for span in ours + theirs):
        assert text_of(ours) == left
        assert text_of(theirs) == right
        assert text_of(ours, ("same",)).split() == text_of(theirs, ("same",)).split()


@given(WORDS)
def test_equal_texts_have_nothing_marked(text):
    left, right, share = compared(text, text)
    assert all(span.kind == "same" for span in left + right)
    assert share == 1


def test_changed_words_are_marked_and_long_equal_runs_left_out():
    middle = " ".join(f"w{i}" for i in range(100))
    left, right, share = compared(f"one {middle} end", f"two {middle} end")
    assert [span.text.strip() for span in left if span.kind == "changed"] == ["one"]
    assert [span.text.strip() for span in right if span.kind == "changed"] == ["two"]
    assert any("equal words" in span.text for span in left if span.kind == "skipped")
    assert 0.95 < share < 1


def test_huge_and_unlike_texts_are_cut():
    left, right, share = compared("x" * 1_000_000, "word " * 1_000_000)
    assert len(text_of(left)) <= LETTERS
    assert len(text_of(right)) <= LETTERS + 60
    assert right[-1].text == ELLIPSIS
    assert share == 0


@given(st.text(st.characters(), max_size=60), st.integers(1, 30), st.integers(1, 4))
def test_clipped_text_fits_and_no_character_acts(text, letters, lines):
    shown = clipped(text, letters, lines)
    assert len(shown) <= letters + 1
    assert shown.count("\n") < lines or shown.count("\n") == 0
    shown.encode()  # no lone surrogate is left
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in shown)
    assert not set(shown) & set("\u202e\u200f\u2066\ufeff\x7f\x9b")


def test_acting_characters_are_written_out():
    assert visible("a\x00b\u202ec\ud800\r\nd\re") == "a⟨U+0000⟩b⟨U+202E⟩c⟨U+D800⟩\nd\ne"
