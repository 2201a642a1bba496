"""Expressions over documents and lines, copies within a page, lengths, and ways to look addresses up."""

import pytest
from local_context import LocalContext
from rows import DOCS, applied

from pipeline.errors import RecipeError
from stages.clean.language import Language
from stages.clean.length import Length
from stages.clean.line_patterns import LinePatterns
from stages.clean.patterns import Patterns
from stages.clean.within_page_dedup import WithinPageDedup


def opened(node, folder, **files):
    return LocalContext(node, folder, files={"lists": (), **files})


def test_documents_go_for_what_an_expression_matches(tmp_path):
    (tmp_path / "words.txt").write_text("Lorem ipsum\n\nsit amet\n")
    lists = (str(tmp_path / "words.txt"),)
    node = Patterns(docs=DOCS, lists=lists, whole_words=True)
    texts = ["lorem IPSUM", "xlorem ipsum", "a sit amet, sit amet", ""]
    scores, reasons, _ = applied(node, texts, opened(node, tmp_path, lists=lists))
    assert scores["patterns_matches"] == [1, 0, 2, 0]
    assert reasons == ["patterns.max_matches", None, "patterns.max_matches", None]
    node = Patterns(docs=DOCS, patterns=(r"[0-9]{3}",), where="start", lower=False)
    assert applied(node, ["123 a", "a 123"], opened(node, tmp_path))[1] == ["patterns.max_matches", None]
    for mistake in ((), ("(",)):
        with pytest.raises(RecipeError, match=r"patterns\.patterns"):
            Patterns(docs=DOCS, patterns=mistake).check()


@pytest.mark.parametrize(
    ("fields", "text", "after"),
    [
        ({}, "\n a Ad here\n\nkept\n", "kept"),
        ({"max_words": 2}, "an ad here\nan ad\nkept", "an ad here\nkept"),
        ({"only_match": True, "where": "end"}, "kept ad\nad\nad kept", "kept\nad kept"),
        ({"only_match": True, "where": "start"}, "ad kept\nno ad", "kept\nno ad"),
        ({"ignore_case": False}, "An AD\nan ad", "An AD"),
    ],
)
def test_lines_go_or_lose_what_matches(tmp_path, fields, text, after):
    node = LinePatterns(docs=DOCS, patterns=("ad",), **fields)
    scores, reasons, texts = applied(node, [text, "ad"], opened(node, tmp_path))
    assert (texts[0], reasons) == (after, [None, "line_patterns.min_left_chars"])
    assert scores["line_patterns_lines"][1] == 1


def test_a_unit_stands_once_in_its_page():
    text = "One\n\none \n two\n\nthree\nTwo"
    assert applied(WithinPageDedup(docs=DOCS), [text])[2] == ["One\n\n two\n\nthree"]
    scores, _, after = applied(WithinPageDedup(docs=DOCS, unit="paragraph", ignore_case=False), ["a\n\nb\n\na\n\nA"])
    assert (after, scores["within_page_copies"]) == (["a\n\nb\n\nA"], [1])


def test_lengths_are_counted_in_five_units():
    text = "One two. Three - four!\n\nFive, six"
    scores, reasons, _ = applied(Length(docs=DOCS, max_lines=1, as_="n"), [text, "One"])
    assert {name: values[0] for name, values in scores.items()} == {
        "n_chars": len(text), "n_words": 7, "n_sentences": 3, "n_lines": 2, "n_paragraphs": 2,
    }  # fmt: skip
    assert reasons == ["length.max_lines", None]
    assert applied(Length(docs=DOCS, words="dclm"), [text])[0]["length_words"] == [9]  # with both line ends


def test_langdetect_gives_each_text_one_answer(tmp_path):
    pytest.importorskip("langdetect")
    node = Language(docs=DOCS, detector="langdetect", keep=("en",), min_probability=0.99)
    texts = ["The house by the river was cold in the morning.", "Das Haus am Fluss war am Morgen kalt.", "- . -"] * 2
    scores, reasons, _ = applied(node, texts)
    assert scores["lang"] == ["en", "de", None] * 2
    assert reasons == [None, "language.other", "language.other"] * 2
    with pytest.raises(RecipeError, match=r"language\.detector"):
        Language(docs=DOCS, detector="langdetect", per="line").check()
