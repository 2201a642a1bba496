"""A batch is cut once for all rules of a pass, and whoever is handed a part of it sees what a fresh cut would show."""

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from stages.clean import cut as c
from stages.clean.cut import Cut, cut, cut_fresh

text = st.text(st.sampled_from("ab .\n'日の…#É1\u3000"), max_size=30)


def seen(made: Cut) -> dict:
    """Everything that a rule can see of the documents, without where it lies."""
    words, lines = (list(zip(*span.tolist(), strict=True)) for span in (made.words, made.line_span))
    return {
        "facts": made.facts.tolist(),
        "unit": made.chars_unit.tolist(),
        "counts": made.counts.tolist(),
        "words": [[x[a:b].tolist() for x in (made.exact, made.folded, made.lengths, made.kinds)] for a, b in words],
        "lines": [made.line_facts[a:b].tolist() for a, b in lines],
        "line_words": made.line_words()[made.own_lines()].tolist(),
        "bytes": [bytes(made.data[s:e]) for s, e in made.lines[made.own_lines()][:, 2:4].tolist()],
        "owner": made.line_owner().tolist(),
    }


@given(st.lists(text, max_size=8), st.data())
def test_a_part_of_the_last_batch_is_seen_as_if_it_had_been_cut_itself(texts, data):
    chosen = sorted(data.draw(st.sets(st.integers(0, max(len(texts) - 1, 0)))) if texts else [])
    cut(pa.array(texts, pa.string()))
    part = pa.array([texts[i] for i in chosen], pa.string())
    assert seen(cut(part)) == seen(cut_fresh(part, "whitespace", "auto"))
    fewer = pa.array(part.to_pylist()[::2], pa.string())
    assert seen(cut(fewer)) == seen(cut_fresh(fewer, "whitespace", "auto"))


def test_the_last_cut_is_used_only_for_the_same_bytes_in_their_order():
    first = cut(pa.array(["one two", "three", "four five"]))
    assert cut(pa.array(["one two", "four five"])).exact is first.exact
    assert cut(pa.chunked_array([["one two"], ["four five"]])).exact is first.exact
    for other in (["four five", "one two"], ["one twO"], ["one two", "three", "four five", "six"]):
        cut(pa.array(["one two", "three", "four five"]))
        assert cut(pa.array(other)).exact is not first.exact
    cut(pa.array(["one two"]))
    assert cut(pa.array(["one two"]), "unicode").exact is not cut(pa.array(["one two"])).exact


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=60), min_size=1, max_size=4))
def test_lines_and_counts_are_those_of_python(texts):
    made = cut_fresh(pa.array(texts, pa.string()), "whitespace", "word")
    lines = [line for each in texts for line in each.split("\n")]
    facts = made.line_facts
    assert facts[:, c.LINE_CHARS].tolist() == [len(line) for line in lines]
    assert facts[:, c.INNER_CHARS].tolist() == [len(line.strip()) for line in lines]
    assert facts[:, c.FIRST].tolist() == [ord(line.strip()[0]) if line.strip() else -1 for line in lines]
    assert facts[:, c.LAST].tolist() == [ord(line.strip()[-1]) if line.strip() else -1 for line in lines]
    assert facts[:, c.DOTS].tolist() == [len(line.strip()) - len(line.strip().rstrip(".")) for line in lines]
    assert made.line_words().tolist() == [len(line.split()) for line in lines]
    assert facts[:, c.LONGEST].tolist() == [max(map(len, line.split()), default=0) for line in lines]
    assert made.facts[:, c.CHARS].tolist() == [len(each) for each in texts]
    assert made.facts[:, c.HASHES].tolist() == [each.count("#") for each in texts]
    assert made.facts[:, c.ELLIPSES].tolist() == [each.count("...") + each.count("…") for each in texts]


def test_a_slice_of_a_batch_and_an_empty_one_are_cut():
    whole = pa.array(["x y", "one two three", "z"])
    assert cut_fresh(whole.slice(1, 1), "whitespace", "auto").pieces.tolist() == [3]
    empty = cut_fresh(pa.array([], pa.string()), "whitespace", "auto")
    assert len(empty) == 0
    assert empty.counts.dtype == np.int64


def test_the_tables_of_the_loops_are_as_large_as_the_loops_take_them_for():
    """They are made by one module and used by another, in machine code that checks no bounds."""
    from stages.clean.repeats import room
    from stages.loops.ngrams import places

    for entries in [*range(70), *(2**k + d for k in range(7, 20) for d in (-1, 0, 1))]:
        assert room(entries) == places(entries)


parts = st.tuples(st.sampled_from(["12 ", "ab", "и", "漢", "あ", "ไ", "“”", "é", "...", "한"]), st.integers(1, 60))


@example([("12 ", 60), ("漢", 1)])
@example([("“”", 60), ("あ", 9), ("ab", 20)])
@given(st.lists(parts, max_size=6))
def test_the_unit_is_decided_by_the_letters_whatever_stands_between_them(runs):
    text = "".join(part * count for part, count in runs)
    unspaced = sum(sign in "漢あไ" for sign in text)
    letters = sum(map(str.isalpha, text))
    made = cut_fresh(pa.array([text], pa.string()), "whitespace", "auto")
    assert made.chars_unit.tolist() == [unspaced > c.MOSTLY * letters]
