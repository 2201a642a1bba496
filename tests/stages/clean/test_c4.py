"""C4's rules: pages by hand, and pages of the demo corpus against datatrove's filter."""

import gzip
import json
from importlib.resources import files

import pytest
from rows import DOCS, applied

from stages.clean.c4 import C4

PROSE = [f"The {word} of the house is open today." for word in ("door", "window", "garden", "cellar", "roof")]


def page(*lines: str) -> str:
    return "\n".join([*PROSE, *lines])


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("A line without a mark at its end", "c4_no_end"),
        ("This line goes on and on...", "c4_no_end"),
        ("Read more.", "c4_few_words"),
        ("This word is " + "x" * 1001 + ".", "c4_long_word"),
        ("Please turn on JavaScript in your browser.", "c4_javascript"),
        ("By reading on you accept our Privacy Policy now.", "c4_policy"),
    ],
)
def test_a_line_goes_for_its_rule_and_the_page_stays(line, column):
    scores, reasons, after = applied(C4(docs=DOCS), [page(line, "", "  And one last line of it.  ")])
    assert after == ["\n".join([*PROSE, "And one last line of it."])]
    assert reasons == [None]
    lines = {name: values[0] for name, values in scores.items()}
    assert lines.pop(column) == 1
    assert lines.pop("c4_sentences") == 6
    assert lines.pop("c4_lines") == 7
    assert set(lines.values()) == {0}


def test_a_page_goes_for_what_a_line_holds_that_no_rule_took_before():
    pages = [
        page("Lorem ipsum dolor sit amet."), page("if (x) { return the value of it; }."),
        page("Lorem ipsum dolor sit amet"), page("Turn on javascript { for this page }."), "\n".join(PROSE[:4]),
    ]  # fmt: skip
    _, reasons, _ = applied(C4(docs=DOCS), pages)
    assert reasons == ["c4.max_lorem_ipsum", "c4.max_curly_brackets", None, None, "c4.min_sentences"]


def test_citations_go_and_rules_can_be_off():
    text = page("The house was built in 1910.[12][citation needed]", "A title line")
    assert applied(C4(docs=DOCS), [text])[2] == [page("The house was built in 1910.")]
    kept = applied(C4(docs=DOCS, end_mark=False, citations=False), [text])[2]
    assert kept == [text]


def test_sentences_end_at_marks_of_other_scripts_too():
    cases = {
        'One. Two! Three? (Four.) "Five." Six': 6,
        "3.5 litres of it e.g.this": 1,
        "一。二！三": 3,
        "... ?!": 2,
        "a": 1,
    }
    node = C4(docs=DOCS, end_mark=False, min_line_words=None)
    assert applied(node, list(cases))[0]["c4_sentences"] == list(cases.values())


def test_verdicts_and_texts_of_the_demo_corpus_are_those_of_datatrove():
    pytest.importorskip("spacy")
    filters = pytest.importorskip("datatrove.pipeline.filters")
    from datatrove.data import Document

    with files("recipes").joinpath("corpus/corpus-00.jsonl.gz").open("rb") as raw, gzip.open(raw, "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][:400]
    bare = {"filter_no_terminal_punct": False, "min_num_sentences": -1}
    for fields, theirs in (({}, {}), ({"end_mark": False, "min_sentences": None}, bare)):
        oracle = filters.C4QualityFilter(**theirs)
        documents = [Document(text=text, id="") for text in texts]
        # without a least number of sentences it keeps pages of which no line is left
        verdicts = [oracle.filter(document) is True and document.text != "" for document in documents]
        _, reasons, after = applied(C4(docs=DOCS, **fields), texts)
        differ = [i for i, reason in enumerate(reasons) if (reason is None) != verdicts[i]]
        # sentences are counted without a model of abbreviations, which a page of four to six of them may feel
        assert len(differ) <= (0.03 * len(texts) if not fields else 0)
        both = [i for i, verdict in enumerate(verdicts) if verdict and i not in differ]
        assert len(both) > 50
        assert [after[i] for i in both] == [documents[i].text for i in both]


def test_no_rule_turned_off_leaves_a_text_of_nothing():
    node = C4(docs=DOCS, min_sentences=None, max_lorem_ipsum=None, max_curly_brackets=None)
    texts = [page(), "menu\nhome", "[1]", "{ lorem ipsum }"]
    assert applied(node, texts)[1] == [None, "c4.empty", "c4.empty", "c4.empty"]
    assert applied(C4(docs=DOCS), texts)[1] == [None, *["c4.min_sentences"] * 3]


def test_ends_of_other_scripts_are_an_option():
    text = "河边的老房子很冷。\n信里说船已经回来了吗？\n他说：“我们很好。”\n目录\n等了很久……"
    assert applied(C4(docs=DOCS, min_sentences=1), [text])[1] == ["c4.min_sentences"]
    scores, reasons, after = applied(C4(docs=DOCS, ends="any_script", min_sentences=3), [text])
    assert (reasons, after) == ([None], ["\n".join(text.split("\n")[:3])])
    assert scores["c4_no_end"] == [2]
    after = applied(C4(docs=DOCS, ends="any_script", keep_ellipsis=True, min_sentences=3), [text])[2]
    assert after == ["\n".join([*text.split("\n")[:3], "等了很久……"])]
