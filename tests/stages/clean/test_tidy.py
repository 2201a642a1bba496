"""DCLM's modifiers by hand."""

import pytest
from rows import DOCS, applied

from pipeline.errors import RecipeError
from pipeline.graph import build
from stages.clean.tidy import Tidy


def test_addresses_and_rows_of_line_ends_go():
    texts = ["See https://a.example/b?c=d now.\n\n \n\nEnd", "one\n\ntwo", "www.example.org", "a.b www"]
    scores, reasons, after = applied(Tidy(docs=DOCS), texts)
    assert after == ["See  now.\n\nEnd", "one\n\ntwo", "", "a.b www"]
    assert scores == {"tidy_urls": [1, 0, 1, 0], "tidy_left_chars": [14, 8, 0, 7]}
    assert reasons == [None, None, "tidy.min_left_chars", None]
    assert applied(Tidy(docs=DOCS, urls=False, max_newlines=1), texts[:2])[2][1] == "one\ntwo"
    with pytest.raises(RecipeError, match="max_newlines"):
        build([Tidy(docs=DOCS, max_newlines=0)])
