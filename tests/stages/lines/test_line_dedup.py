"""`line_dedup` against a Counter."""

import hashlib
import json
import random
import re
from collections import Counter
from functools import cache

import pytest

from pipeline.errors import RecipeError
from pipeline.report.figures import check
from stages.dedup import key_files
from stages.hashing import shingles
from stages.lines.keys import UNITS_PER_ROW
from stages.lines.line_dedup import LineDedup
from stages.read.read import Read
from tests.stages.dedup.local import LocalContext, Run, corpus
from tests.stages.dedup.planted import document
from tests.stages.run_here import Here

words = cache(shingles.words)
BOILERPLATE = ["Home | About | Contact", "Accept all cookies?", "© 2024", "", "---", "  read MORE ", "Read more!"]


def pages(seed: int, count: int, glue: str = "\n") -> list[str]:
    chance = random.Random(seed)
    some = [" ".join(document(chance, 4)) for _ in range(count // 2)]
    found = []
    for _ in range(count):
        lines = [
            chance.choice(BOILERPLATE) if chance.random() < 0.4 else chance.choice(some)
            for _ in range(chance.randrange(8))
        ]
        lines += [" ".join(document(chance, 6)) for _ in range(chance.randrange(4))]
        chance.shuffle(lines)
        found.append(glue.join(lines))
    return found


def plainly(texts, *, unit="line", match="words", min_words=1, min_copies=2, keep="first"):
    """(text, kept, dropped, gone) of every document, with a Counter and a set."""

    def split(text):
        return text.split("\n") if unit == "line" else re.split(r"\n[ \t\r]*\n\s*", text)

    def key(line):
        return tuple(words(line)) if match == "words" else line.strip()

    counts = Counter(key(line) for text in texts for line in split(text) if len(words(line)) >= min_words)
    seen, found = set(), []
    for text in texts:
        kept, dropped = [], 0
        for line in split(text):
            repeated = len(words(line)) >= min_words and counts[key(line)] >= min_copies
            if repeated and not (keep == "first" and key(line) not in seen):
                dropped += 1
            else:
                kept.append(line)
            if repeated:
                seen.add(key(line))
        gone = dropped > 0 and not any(len(words(line)) >= min_words for line in kept)
        changed = dropped > 0 and not gone
        glue = "\n" if unit == "line" else "\n\n"
        found.append((glue.join(kept) if changed else None, len(kept), dropped, gone))
    return found


def answers(run: Run):
    texts = [v for key in sorted(run.rows) for part in run.rows[key] for v in part.text.to_pylist()]
    gone = [reason is not None for reason in run.reasons()]
    return list(zip(texts, run.column("lines_kept"), run.column("lines_dropped"), gone, strict=True))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"keep": "none"},
        {"match": "bytes", "min_copies": 3},
        {"min_words": 3},
        {"unit": "paragraph"},
        {"unit": "paragraph", "keep": "none", "min_copies": 5},
    ],
)
def test_lines_are_those_of_a_counter(tmp_path, fields):
    texts = pages(1, 400, "\n" if fields.get("unit") != "paragraph" else "\n \n")
    run = Run(LineDedup(docs=corpus(texts, 3), **fields), tmp_path, batch=37).all(seed=1)
    assert answers(run) == plainly(texts, **fields)


def test_twenty_thousand_documents(tmp_path):
    texts = pages(2, 20_000)
    run = Run(LineDedup(docs=corpus(texts, 4)), tmp_path, batch=1000).all(seed=2)
    expected = plainly(texts)
    assert answers(run) == expected
    assert sum(dropped for _, _, dropped, _ in expected) > 20_000
    assert sum(gone for *_, gone in expected) > 100


@pytest.mark.parametrize("ranges", [1, 7])
def test_ranges_shards_and_order_change_nothing(tmp_path, monkeypatch, ranges):
    monkeypatch.setattr(key_files, "RANGE_BYTES", -(-300 * UNITS_PER_ROW * 16 // ranges))
    texts = pages(3, 300)
    run = Run(LineDedup(docs=corpus(texts, ranges)), tmp_path, batch=11).all(seed=ranges)
    assert len(run.results["repeats"]) == ranges
    assert answers(run) == plainly(texts)


def test_most_repeated_lines_are_shown(tmp_path):
    texts = pages(4, 300)
    run = Run(LineDedup(docs=corpus(texts, 2)), tmp_path).all()
    (figure,) = run.node.figures(LocalContext(run, "rows", "all"))
    check(figure)
    counts = Counter(tuple(words(line)) for text in texts for line in text.split("\n") if words(line))
    assert [copies for _, copies in figure["rows"]] == [n for _, n in counts.most_common(10)]
    assert all(counts[tuple(words(text))] == copies for text, copies in figure["rows"])


def test_a_corpus_without_repeats_is_left_alone(tmp_path):
    run = Run(LineDedup(docs=corpus(["one\ntwo", "", "...\n..."])), tmp_path).all()
    assert answers(run) == [(None, 2, 0, False), (None, 1, 0, False), (None, 2, 0, False)]


@pytest.mark.parametrize("fields", [{"unit": "page"}, {"keep": "last"}, {"min_copies": 1}])
def test_fields_that_make_no_sense(fields):
    with pytest.raises(RecipeError):
        LineDedup(docs=corpus(["x"]), **fields).check()


def test_the_document_with_the_least_hash_of_a_column_keeps_a_line(tmp_path):
    urls = [f"http://a.org/{n}" for n in range(12)]
    least = min(urls, key=lambda url: hashlib.md5(url.encode()).hexdigest())
    assert least not in (urls[0], urls[-1])
    rows = [
        {"url": url, "text": f"Line number {n} alone\n {'Shared' if n % 2 else 'shared'} line "}
        for n, url in enumerate(urls)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs = Read(paths=(str(tmp_path / "a.jsonl"),), keep=("url",), shard_bytes=100)
    found = Here(LineDedup(docs=docs, match="lower", first_by="url"), tmp_path / "store").columns()
    assert found["lines_dropped"].to_pylist() == [int(url != least) for url in urls]
    assert found["text"].to_pylist() == [
        None if url == least else f"Line number {n} alone" for n, url in enumerate(urls)
    ]
    with pytest.raises(RecipeError, match=r"line_dedup\.first_by"):
        LineDedup(docs=docs, first_by="date").check()
