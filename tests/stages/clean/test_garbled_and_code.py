"""Wrongly decoded text, and files that are no written code, by hand."""

import pytest
from rows import DOCS, applied

from stages.clean.code import Code
from stages.clean.garbled import Garbled

FRENCH = "Le café était fermé à midi, déjà. « Où êtes-vous ? » — « Ici… »"
QUOTES = "“It’s done”, she said – and left…"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FRENCH, None),
        (QUOTES, None),
        (FRENCH.encode().decode("latin-1"), "max_control"),
        (FRENCH.encode().decode("cp1252", "ignore"), "max_mojibake"),
        (QUOTES.encode().decode("cp1252", "ignore"), "max_mojibake"),
        ("Ã ou à: Ãbc", None),
        ("A text with \ufffd\ufffd\ufffd in it", "max_replaced"),
        ("plain\x07 text\x00" * 3, "max_control"),
        ("tabs\tand\r\nlines\f", None),
        ("日本語のテキスト、한국어", None),
        ("", None),
    ],
)
def test_wrongly_decoded_text_goes(text, reason):
    assert applied(Garbled(docs=DOCS), ["fine", text])[1] == [None, reason and f"garbled.{reason}"]


def test_shares_are_of_characters():
    scores, _, _ = applied(Garbled(docs=DOCS), ["cafÃ© ok", "a\ufffdb\x01c\x02dé"])
    assert scores["garbled_mojibake"] == [pytest.approx(2 / 8), 0]
    assert scores["garbled_replaced"] == [0, pytest.approx(1 / 8)]
    assert scores["garbled_control"] == [0, pytest.approx(2 / 8)]


CODE = "\n".join(f"def f{i}(value):\n    return value + {i}" for i in range(6))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CODE, None),
        (CODE + "\n" + "x" * 1001, "max_line"),
        ("\n".join(["value = " + "long_name + " * 12] * 12), "max_mean_line"),
        ("\n".join(["{ [ ( + - * / ) ] } a"] * 12), "min_alnum"),
        ("\n".join(["1 2 3 4 5 6 ab"] * 12), "min_letters_per_word"),
        ("one = two", "min_lines"),
        ('<?xml version="1.0"?>\n' + CODE, "max_xml"),
    ],
)
def test_a_file_goes_for_its_rule(text, reason):
    _, reasons, _ = applied(Code(docs=DOCS), [CODE, text])
    assert reasons == [None, reason and f"code.{reason}"]


def test_a_line_ends_with_its_line_feed_and_the_header_lies_whole_in_the_first_hundred_characters():
    texts = [
        "ab = 1\nlonger x",
        "ab = 1\nlonger x\n",
        " " * 86 + '<?xml version="1.0"',
        " " * 87 + '<?xml version="1.0"',
    ]
    scores, _, _ = applied(Code(docs=DOCS), texts)
    assert scores["code_lines"] == [2, 2, 1, 1]
    assert scores["code_mean_line"][:2] == [7, 7]
    assert scores["code_xml"][2:] == ["<?xml version=" in text[:100] for text in texts[2:]] == [1, 0]


def test_code_columns_by_hand():
    scores, _, _ = applied(Code(docs=DOCS), ["ab = 1\n\nlonger x"])
    assert {name: pytest.approx(values[0]) for name, values in scores.items()} == {
        "code_max_line": 8, "code_mean_line": 14 / 3, "code_alnum": 10 / 16, "code_letters_per_word": 9 / 5,
        "code_lines": 3, "code_xml": 0,
    }  # fmt: skip
