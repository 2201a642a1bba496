"""Foreign text, shown: nothing of it acts on a terminal, in Markdown, in HTML or in an error."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.errors import DataError
from pipeline.safe_text import ACTING, markdown, markdown_code, visible, visible_json

HOSTILE = (
    "\x1b]0;owned\x07\x9b31m\u202e`</code><script>x</script>``|a\n# b\t&lt;[l](http://x)<http://y> **c** \\` ~~d~~ $e$"
)
PAGE = MarkdownIt("commonmark").enable(["table", "strikethrough"])
texts = st.text(st.sampled_from("`|\\*_[]()<>!&~#$-ab ;\n\t\x1b\x07\u202e") | st.characters())


def written_out(text):
    return visible(text).replace("\n", "⟨U+000A⟩").replace("\t", "⟨U+0009⟩")


@given(texts)
@example(HOSTILE)
@example("`")
@example("a``b` c")
def test_a_code_span_holds_any_text_and_nothing_leaves_it(text):
    (line,) = [token for token in PAGE.parse(f"x {markdown_code(text)} y <b>") if token.type == "inline"]
    assert [token.type for token in line.children] == ["text", "code_inline", "text", "html_inline"]
    assert line.children[1].content == (written_out(text) or " ")


@given(texts)
@example(HOSTILE)
def test_a_cell_of_a_table_is_one_cell(text):
    table = f"| a | b |\n|---|---|\n| {markdown_code(text, cell=True)} | {markdown(text)} |"
    cells = [token for token in PAGE.parse(table) if token.type == "inline"][2:]
    assert len(cells) == 2
    assert [token.type for token in cells[0].children] == ["code_inline"]
    assert cells[0].children[0].content.strip() == written_out(text).strip()
    assert {token.type for token in cells[1].children} <= {"text", "text_special"}


@given(texts)
@example(HOSTILE)
def test_a_heading_shows_any_text_as_it_is(text):
    tokens = PAGE.parse(f"# x{markdown(text)}x")
    assert [token.type for token in tokens] == ["heading_open", "inline", "heading_close"]
    assert {token.type for token in tokens[1].children} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens[1].children) == f"x{written_out(text)}x"


@given(texts)
def test_json_reads_as_the_same_value_and_holds_nothing_that_acts(text):
    shown = visible_json({text: [text]}, indent=1)
    assert json.loads(shown) == {text: [text]}
    assert not ACTING.search(shown)


@pytest.mark.parametrize("part", range(4))
def test_an_error_says_what_was_found_without_doing_it(part):
    parts = ["place", "found", "expected", "then"]
    parts[part] = HOSTILE
    error = DataError(*parts)
    assert not ACTING.search(str(error))
    assert (error.place, error.found, error.expected, error.then) == tuple(parts), "whole for those who ask"
