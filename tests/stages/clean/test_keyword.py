"""Terms in texts: against a search for each term by itself, and the borders of words in several scripts."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_context import LocalContext
from rows import DOCS, applied

from pipeline.errors import RecipeError
from stages.clean.keyword import Keyword
from stages.clean.safety import Safety
from stages.clean.terms import Finder

TERMS = ("net", "neural net", "ab", "a b", "b")


def by_hand(text: str) -> list[str]:
    """Whole-word matches of each term, less those inside another one."""
    spans = {
        (m.start(1), m.end(1), term)
        for term in TERMS
        for m in re.finditer(rf"(?=(?<!\w)({re.escape(term)})(?!\w))", text.lower().replace("\n", " "))
    }
    return sorted(term for a, b, term in spans if not any((c, d) != (a, b) and c <= a and b <= d for c, d, _ in spans))


@settings(max_examples=200)
@given(st.lists(st.lists(st.sampled_from(["net", "neural", "Ab", "b", "a", " ", " ", "\n", ".", "é"])), max_size=4))
def test_hits_are_those_of_a_search_for_each_term(parts):
    texts = ["".join(each) for each in parts]
    hits = Finder(TERMS).find(pa.array(texts, pa.string()))
    found = [[] for _ in texts]
    for document, term in zip(hits.document.tolist(), hits.term.tolist(), strict=True):
        found[document].append(TERMS[term])
    assert [sorted(each) for each in found] == [by_hand(text) for text in texts]
    assert hits.different().tolist() == [len(set(each)) for each in found]


def test_borders_of_words(tmp_path):
    texts = ["Café cafés CAFÉ", "机器学习很好", "xcat cat's cat2 cat-like _cat", "cat"]
    node = Keyword(docs=DOCS, terms=("café", "学习", "cat"))
    ctx = LocalContext(node, tmp_path)
    scores, reasons, _ = applied(node, texts, ctx)
    assert scores["keyword_hits"] == [2, 1, 3, 1]
    assert scores["keyword_terms"] == [1, 1, 1, 1]
    assert scores["keyword_density"][0] == pytest.approx(2 / 3)
    assert reasons == [None] * 4

    def hits(texts, term, **fields):
        return applied(Keyword(docs=DOCS, terms=(term,), **fields), texts, ctx)[0]["keyword_hits"]

    assert hits(texts, "Cat", ignore_case=False) == [0] * 4
    assert hits(["concatenate cat", "ca", "t"], "cat", whole_words=False) == [2, 0, 0]
    assert hits(["a cat cat"], "cat", max_chars=5) == [1]


def test_thresholds_have_a_reason_each_and_files_hold_terms(tmp_path):
    (tmp_path / "net.txt").write_text("# words of networks\nRouter\n\nsource  port\n")
    texts = ["router router of the source\nport", "router", "a house", "router " * 8]
    node = Keyword(docs=DOCS, lists=("net.txt",), min_hits=1, min_terms=2, max_density=0.5, as_="net")
    ctx = LocalContext(node, tmp_path, files={"lists": [tmp_path / "net.txt"]})
    scores, reasons, _ = applied(node, texts, ctx)
    assert scores["net_hits"] == [3, 1, 0, 8]
    assert reasons == [None, "keyword.min_terms", "keyword.min_hits", "keyword.min_terms"]
    (tmp_path / "net.txt").write_text("# nothing\n")
    with pytest.raises(RecipeError, match="no term"):
        node.open(LocalContext(node, tmp_path, files={"lists": [tmp_path / "net.txt"]}))
    with pytest.raises(RecipeError, match="no term"):
        Keyword(docs=DOCS).check()


def test_safety_reports_and_removes_on_request_only(tmp_path):
    (tmp_path / "violence.txt").write_text("murder\n")
    texts = ["a murder in four", "five words without any of"]
    for limit, gone in ((None, None), (0.1, "safety.max_violence")):
        node = Safety(docs=DOCS, violence=("violence.txt",), max_violence=limit)
        node.check()
        ctx = LocalContext(node, tmp_path, files={"violence": [tmp_path / "violence.txt"]})
        scores, reasons, _ = applied(node, texts, ctx)
        assert scores["safety_violence"] == [0.25, 0.0]
        assert scores["safety_hate"] == [None, None]
        assert reasons == [gone, None]
    for fields in ({}, {"violence": ("v.txt",), "max_sex": 0.1}):
        with pytest.raises(RecipeError):
            Safety(docs=DOCS, **fields).check()


def test_case_is_that_of_the_script_and_a_line_ends_as_it_may():
    greek = Finder(["ΟΔΟΣ", "λόγος"]).find(pa.array(["η οδος", "Η ΟΔΟΣ", "οδοσ", "ΛΌΓΟΣ", "οδοστρωμα"]))
    assert greek.counts().tolist() == [1, 1, 1, 1, 0]
    assert Finder(["neural net"]).find(pa.array(["neural\r\nnet", "neural\nnet"])).counts().tolist() == [1, 1]
