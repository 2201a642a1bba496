"""`exact_dedup` and `url_dedup` against plain dictionaries."""

import random
from collections import Counter

import pyarrow as pa
import pytest

from pipeline.errors import RecipeError
from stages.dedup.exact import ExactDedup
from stages.dedup.minhash import MinHashDedup
from stages.dedup.urls import UrlDedup, canonical_url
from stages.hashing.shingles import words
from tests.stages.dedup.local import Run, corpus
from tests.stages.dedup.texts import texts


def first_of_each(keys) -> list[int]:
    """Positions that a dictionary keeps; an empty key is never merged."""
    seen, kept = set(), []
    for i, key in enumerate(keys):
        if not key or key not in seen:
            kept.append(i)
            seen.add(key)
    return kept


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("match", ["bytes", "words"])
def test_exact_dedup_keeps_what_a_dictionary_keeps(tmp_path, match, shards):
    chance = random.Random(2)
    some = [t for t in texts(1, 300) for _ in range(chance.choice([1, 1, 2, 5]))]
    some += [text.upper() + " !" for text in some[:40]]
    chance.shuffle(some)
    keys = some if match == "bytes" else [tuple(words(text)) for text in some]
    node = ExactDedup(docs=corpus(some, shards), match=match, max_removed_fraction=1.0)
    run = Run(node, tmp_path).all(seed=shards)
    assert run.kept() == first_of_each(keys)
    counts = Counter(keys)
    for key, size, reason in zip(keys, run.column("exact_copies"), run.reasons(), strict=True):
        assert size == (counts[key] if key and counts[key] > 1 else None)
        assert reason in (None, "exact_dedup.copy")


def test_exact_dedup_names_the_kept_document(tmp_path):
    run = Run(ExactDedup(docs=corpus(["a", "b", "a", "c", "a"], 2), keep=("n", "max")), tmp_path)
    with pytest.raises(Exception, match="no column 'n'"):
        run.all()
    docs = corpus(["a", "b", "a", "c", "a"], 2, n=pa.array([1, 1, 3, 1, 2]))
    run = Run(ExactDedup(docs=docs, keep=("n", "max")), tmp_path).all()
    ids = [name for table in docs.tables for name in table["id"].to_pylist()]
    assert run.column("exact_duplicate_of") == [ids[2], None, None, None, ids[2]]
    assert run.values() == [3.0, None, None, None, 3.0]


@pytest.mark.parametrize("node", [ExactDedup, MinHashDedup])
def test_a_document_is_never_named_as_its_own_duplicate(tmp_path, node):
    """A file that is read twice: both of its documents have one id."""
    docs = corpus([f"some words of page {i}" for i in range(3)] * 2, 2)
    for table in docs.tables[1:]:
        assert table["text"] == docs.tables[0]["text"]
    object.__setattr__(docs, "tables", [docs.tables[0]] * 2)
    run = Run(node(docs=docs), tmp_path).all()
    ids, name = docs.tables[0]["id"].to_pylist(), docs.shards()[0].name
    kept = run.column("exact_duplicate_of" if node is ExactDedup else "duplicate_of")
    assert kept == [None] * 3 + [f"{id}@{name}:{row}" for row, id in enumerate(ids)]


def test_exact_dedup_against_earlier_documents(tmp_path):
    before = Run(ExactDedup(docs=corpus(["a", "b", "b"], name="a" * 12)), tmp_path / "old").all()
    node = ExactDedup(docs=corpus(["c", "b", "c", "d"], name="b" * 12), against=(before.node,))
    run = Run(node, tmp_path / "new", against=[before]).all()
    assert run.kept() == [0, 3]
    assert run.column("exact_duplicate_of") == [None, "a" * 12 + ":0:1", "b" * 12 + ":0:0", None]


SPELLINGS = [
    (
        "http://www.Example.com:80/a/./b/../c/?b=2&a=1&utm_source=x#top",
        "https://example.com/a/c?a=1&b=2",
        "example.com/a/c/?a=1&b=2&gclid=4",
        "//example.com/%61/c/index.html?a=1&b=2",
    ),
    ("http://example.com", "https://www.example.com/", "http://example.com/index.php", "EXAMPLE.COM."),
    ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
    ("http://example.com/#!/page1", "https://www.example.com/#!/page1/"),
    ("http://example.com/#part", "http://example.com/#!"),
    ("http://example.com/p;jsessionid=12AB", "http://example.com/p"),
]
DIFFERENT = [
    "http://example.com/a",
    "http://example.com/A",
    "http://example.com/a?x=1",
    "http://example.com/a?x=2",
    "http://example.com:8080/a",
    "http://sub.example.com/a",
    "http://example.org/a",
    "http://example.com/a/b",
    "http://example.com/a%2Fb",
    "http://example.com/#!/page1",
    "http://example.com/#!/page2",
]


@pytest.mark.parametrize("same", SPELLINGS)
def test_spellings_of_one_address(same):
    assert len({canonical_url(url) for url in same}) == 1


def test_addresses_that_differ():
    assert len({canonical_url(url) for url in DIFFERENT}) == len(DIFFERENT)
    for url in [*DIFFERENT, *(url for same in SPELLINGS for url in same)]:
        assert canonical_url(canonical_url(url)) == canonical_url(url)


@pytest.mark.parametrize("text", ["", "http://", "mailto:a@b", "http://a b/", "http://[::1", "http://x:99999/"])
def test_what_is_no_address(text):
    assert canonical_url(text) is None


def test_url_dedup_keeps_the_newest(tmp_path):
    urls = ["http://a.com/x", "https://www.a.com/x/", "http://a.com/y", None, None, "http://a.com/x#2", "mailto:x"]
    docs = corpus([f"text {i}" * i for i in range(7)], 2, url=pa.array(urls), date=pa.array([3, 9, 1, 1, 1, 5, 1]))
    run = Run(UrlDedup(docs=docs, keep=("date", "max")), tmp_path / "a").all()
    assert run.kept() == [1, 2, 3, 4, 6]
    assert run.column("url_copies") == [3, 3, None, None, None, 3, None]
    assert Run(UrlDedup(docs=docs, keep="longest"), tmp_path / "b").all().kept() == [2, 3, 4, 5, 6]
    assert "text" not in UrlDedup(docs=docs).phases()[0].needs


def test_fields_that_make_no_sense():
    with pytest.raises(RecipeError, match=r"ExactDedup\.match: 'letters'"):
        ExactDedup(docs=corpus(["x"]), match="letters")
    with pytest.raises(RecipeError, match=r"url_dedup\.column"):
        UrlDedup(docs=corpus(["x"]), column="").check()
