"""FineWeb's page rules against its own filter; RefinedWeb's line rules by hand, as DCLM's code applies them."""

import gzip
import json
from importlib.resources import files

import pytest
from rows import DOCS, applied

from pipeline.errors import RecipeError
from pipeline.graph import build
from stages.clean.fineweb_quality import FinewebQuality
from stages.clean.refinedweb_lines import RefinedwebLines
from stages.clean.tidy import Tidy

LONG = "A line of prose that is longer than thirty characters"


def test_fineweb_columns_by_hand():
    text = f"{LONG}.\n\n  Menu  \n{LONG}.\nMenu\nEnd…"
    scores, reasons, _ = applied(FinewebQuality(docs=DOCS), [text])
    chars = len(text) - 5
    assert {name: pytest.approx(values[0]) for name, values in scores.items()} == {
        "fineweb_line_ends": 2 / 5,
        "fineweb_short_lines": 3 / 5,
        "fineweb_dup_line_chars": (len(LONG) + 1 + 4) / chars,
        "fineweb_newlines": 5 / 23,
    }
    assert reasons == ["fineweb_quality.max_dup_line_chars"]
    assert applied(FinewebQuality(docs=DOCS, short_line=3), [text])[0]["fineweb_short_lines"] == [0.0]
    assert applied(FinewebQuality(docs=DOCS), ["これは文です。\nこれも長い文です！"])[0]["fineweb_line_ends"] == [1.0]


def test_fineweb_verdicts_of_the_demo_corpus_are_those_of_datatrove():
    pytest.importorskip("spacy")
    filters = pytest.importorskip("datatrove.pipeline.filters")
    from datatrove.data import Document

    with files("recipes").joinpath("corpus/corpus-01.jsonl.gz").open("rb") as raw, gzip.open(raw, "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][:300]
    oracle = filters.FineWebQualityFilter()
    verdicts = [oracle.filter(Document(text=text, id="")) for text in texts]
    _, reasons, _ = applied(FinewebQuality(docs=DOCS, words="datatrove"), texts)
    assert [reason is None for reason in reasons] == [verdict is True for verdict in verdicts]
    assert 20 < sum(reason is None for reason in reasons) < 280


@pytest.mark.parametrize(
    ("line", "column", "left"),
    [
        ("THIS IS ALL loud", "upper_case", None),
        ("12345", "digits", None),
        ("  3.5K likes!", "counter", None),
        ("12 Followers", "counter", None),
        ("alone", "few_words", None),
        ("   ", "few_words", None),
        ("items in cart", "phrase", None),
        ("3 items in cart now", "phrase", "3 now"),
        ("All about gardens. Read more...", "phrase", "All about gardens."),
        ("Sign-in to see the garden", "phrase", "to see the garden"),
        ("Sign-in is a word of which this line says a lot of things", "", "same"),
        ("we have 3 likes in this sentence", "", "same"),
    ],
)
def test_a_line_goes_for_its_rule(line, column, left):
    prose = "\n\n".join([f"{LONG}."] * 20)
    scores, reasons, after = applied(RefinedwebLines(docs=DOCS), [f"{prose}\n{line}\n{LONG}."])
    expected = {None: [], "same": [line]}.get(left, [left])
    assert after == ["\n".join([prose, *expected, f"{LONG}."])]
    gone = {name.removeprefix("refinedweb_"): values[0] for name, values in scores.items()}
    assert [name for name in ("upper_case", "digits", "counter", "few_words", "phrase") if gone[name]] == [
        column
    ] * bool(column)
    assert reasons == [None]


def test_a_document_that_loses_too_much_goes():
    texts = [f"{LONG}.\nLOUD WORDS", f"{LONG}.", "LOUD", f"{LONG}.\nLOUD WORDS"]
    node = RefinedwebLines(docs=DOCS)
    scores, reasons, _ = applied(node, texts)
    assert scores["refinedweb_removed_words"] == [pytest.approx(2 / 12), 0, 1, pytest.approx(2 / 12)]
    assert reasons == [
        "refinedweb_lines.max_removed_words",
        None,
        "refinedweb_lines.max_removed_words",
        "refinedweb_lines.max_removed_words",
    ]
    lax = RefinedwebLines(docs=DOCS, max_removed_words=None)
    assert applied(lax, texts)[1] == [None, None, "refinedweb_lines.min_left_chars", None]


@pytest.mark.parametrize("node", [RefinedwebLines, Tidy])
def test_an_empty_text_is_no_document_whatever_the_fields(node):
    with pytest.raises(RecipeError, match="min_left_chars"):
        build([node(docs=DOCS, min_left_chars=0)])
