"""`substring_dedup` against a dictionary of all windows."""

import itertools
import random
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RecipeError
from pipeline.report.figures import check
from stages.dedup import key_files
from stages.hashing import shingles
from stages.substrings import windows
from stages.substrings.substring_dedup import SubstringDedup
from tests.stages.dedup.local import LocalContext, Run, corpus
from tests.stages.dedup.planted import WORDS, document


def pieces(text, unit):
    """(word, the text that it owns) of a document, in order, and the text as it is written from word to word."""
    spans = shingles.spans(text, unit)
    starts = [0, *(start for _, start, _ in spans[1:]), len(text)]
    owned = [text[a:b] for a, b in itertools.pairwise(starts)]
    return [word for word, _, _ in spans], owned, spans


def plainly(texts, *, length, unit="auto", match="words", keep="first", action="cut", share=1.0):
    """(text, words covered, gone) of every document, with a dictionary of all windows."""
    places = {}
    for row, text in enumerate(texts):
        words, _, spans = pieces(text, unit)
        for at in range(len(words) - length + 1):
            inside = text[spans[at][1] : spans[at + length - 1][2]] if match == "bytes" else ""
            places.setdefault((*words[at : at + length], inside), []).append((row, at))
    covered = [set() for _ in texts]
    for where in places.values():
        first_row, first_at = where[0]
        for row, at in where[keep == "first" :] if len(where) > 1 else ():
            begin = max(at, first_at + length) if keep == "first" and row == first_row else at
            covered[row].update(range(begin, at + length))
    found = []
    for text, gone in zip(texts, covered, strict=True):
        words, owned, _ = pieces(text, unit)
        removed = action != "flag" and len(gone) > 0 and len(gone) / len(words) >= share
        left = "".join(part for at, part in enumerate(owned) if at not in gone)
        left = left.rstrip() if len(words) - 1 in gone else left
        found.append((left if gone and action == "cut" and not removed else None, len(gone), removed))
    return found


def answers(run: Run):
    parts = [part for key in sorted(run.rows) for part in cast(Any, run.rows[key])]
    texts = [text for part in parts for text in (part.text or pa.nulls(len(part.added["copied_words"]))).to_pylist()]
    gone = [reason is not None for reason in run.reasons()]
    return list(zip(texts, run.column("copied_words"), gone, strict=True))


def glued(chance: random.Random, words: list[str]) -> str:
    """Words, with what follows a word in nearly every place of it; few of them in upper case."""
    between = (" ", " ", ", ", ".\n", "  ", "\n\n")
    parts = []
    for word in words:
        odd = chance.random() < 0.03
        parts += [word.upper() if odd else word, chance.choice(between) if odd else between[len(word + word[0]) % 6]]
    return "".join(parts)


def pages(seed: int, count: int, length: int) -> list[str]:
    """Documents with passages of one another, of themselves, and repeated words."""
    chance = random.Random(seed)
    passages = [document(chance, chance.randrange(length // 2, 4 * length)) for _ in range(count // 20)]
    found = []
    for _ in range(count):
        words = []
        for _ in range(chance.randrange(5)):
            kind = chance.random()
            if kind < 0.4:
                passage = chance.choice(passages)
                begin = chance.randrange(len(passage))
                words += passage[begin : begin + chance.randrange(1, 4 * length)]
            elif kind < 0.5:
                words += document(chance, chance.randrange(1, 4)) * chance.randrange(length)
            else:
                words += document(chance, chance.randrange(2 * length))
        found.append(glued(chance, words))
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"length": 10},
        {"length": 7, "keep": "none"},
        {"length": 8, "match": "bytes"},
        {"length": 10, "share": 0.5},
        {"length": 10, "action": "drop", "share": 0.3},
        {"length": 10, "action": "flag"},
        {"length": 9, "unit": "word"},
        {"length": 12, "unit": "char", "match": "bytes", "keep": "none"},
        {"length": 2},
    ],
)
def test_spans_are_those_of_a_dictionary(tmp_path, fields):
    texts = pages(1, 200, fields["length"])
    run = Run(SubstringDedup(docs=corpus(texts, 3), **fields), tmp_path, batch=17).all(seed=1)
    expected = plainly(texts, **fields)
    assert answers(run) == expected
    assert sum(words for _, words, _ in expected) > 100
    assert sum(words == 0 for _, words, _ in expected) > 10


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(["a", "b", "b", "Ä", "字", "ไท", ".", "\n"]), max_size=40), max_size=6),
    length=st.integers(2, 7),
    keep=st.sampled_from(["first", "none"]),
    unit=st.sampled_from(["word", "char", "auto"]),
    match=st.sampled_from(["words", "bytes"]),
)
def test_texts_of_few_words_repeat_in_every_way(tmp_path_factory, texts, length, keep, unit, match):
    texts = [" ".join(words) for words in texts] or [""]
    node = SubstringDedup(docs=corpus(texts, 2), length=length, keep=keep, unit=unit, match=match)
    run = Run(node, tmp_path_factory.mktemp("run"), batch=3).all(seed=2)
    assert answers(run) == plainly(texts, length=length, keep=keep, unit=unit, match=match)


@pytest.mark.parametrize(("ranges", "shards", "batch", "block"), [(1, 1, 400, 1 << 20), (9, 7, 11, 64)])
def test_ranges_shards_and_batches_change_nothing(tmp_path, monkeypatch, ranges, shards, batch, block):
    texts = pages(3, 150, 20)
    monkeypatch.setattr(key_files, "RANGE_BYTES", 10**6 if ranges == 1 else 1500)
    monkeypatch.setattr(windows, "BLOCK", block)
    run = Run(SubstringDedup(docs=corpus(texts, shards), length=20), tmp_path, batch=batch).all(seed=ranges)
    assert len(run.results["repeats"]) >= ranges
    assert len(run.results["copies"]) >= ranges
    assert answers(run) == plainly(texts, length=20)


def test_each_span_names_the_place_of_its_copy(tmp_path):
    """The second holds words of the first, the third of both and some of its own twice."""
    chance = random.Random(4)
    one, two, three = (document(chance, 60) for _ in range(3))
    texts = [one, [*one[20:50], *two], [*three[:30], *one[20:45], *two[10:40], *three[:30]]]
    run = Run(SubstringDedup(docs=corpus([" ".join(t) for t in texts], 1), length=15), tmp_path).all()
    names = [f"{'0' * 12}:0:{i}" for i in range(3)]
    assert run.column("copied_from") == [None, names[0], names[1]]  # the first of the longest
    assert run.column("copied_spans") == [
        None,
        f"0-30 {names[0]} 20",
        f"30-55 {names[0]} 20, 55-85 {names[1]} 40, 85-115 {names[2]} 0",
    ]
    assert run.column("copied_words") == [0, 30, 85]


def test_a_file_that_is_read_twice_is_named_by_its_place(tmp_path):
    text = " ".join(document(random.Random(5), 30))
    node = corpus([text, text], 2)
    tables = [table.set_column(1, "id", table["id"].take([0])) for table in node.tables]
    tables[1] = tables[1].set_column(1, "id", tables[0]["id"])
    twice = type(node)(tables=tuple(tables), name=node.name)
    run = Run(SubstringDedup(docs=twice, length=15), tmp_path).all()
    assert run.column("copied_from") == [None, f"{tables[0]['id'][0].as_py()}@{'0' * 8}-000:0"]
    assert run.reasons() == [None, "substring_dedup.share"]
    assert run.values() == [None, 1.0]


def test_passages_that_stand_most_often_are_shown(tmp_path):
    chance = random.Random(6)
    menu, notice = document(chance, 20), document(chance, 12)
    texts = [" ".join([*(menu if i % 2 else []), *document(chance, 9), *(notice if i % 3 else [])]) for i in range(60)]
    run = Run(SubstringDedup(docs=corpus(texts, 2), length=10), tmp_path).all()
    (figure,) = run.node.figures(LocalContext(run, "rows", "all"))
    check(figure)
    assert figure["rows"][:3] == [[" ".join(notice[:10]), 40], [" ".join(menu[:10]), 30], [" ".join(menu[10:]), 30]]


def test_a_corpus_without_copies_is_left_alone(tmp_path):
    texts = ["", "...", " ".join(WORDS[:200])]
    run = Run(SubstringDedup(docs=corpus(texts, 1)), tmp_path).all()
    assert answers(run) == [(None, 0, False)] * 3
    assert [result.counts for result in run.results["windows"].values()] == [{"windows": 0}]


@pytest.mark.parametrize("fields", [{"unit": "page"}, {"keep": "last"}, {"length": 1}, {"share": 0}])
def test_fields_that_make_no_sense(fields):
    with pytest.raises(RecipeError):
        SubstringDedup(docs=corpus(["x"]), **fields).check()
