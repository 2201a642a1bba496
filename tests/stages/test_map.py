"""A function of the user's own: what it returns is used, and what does not fit is said with its name."""

import pyarrow as pa
import pytest

from pipeline.errors import DataError, RecipeError
from stages.map import Map
from stages.read.read import Read

DOCS = Read(paths=("unread",))
TABLE = pa.table({"text": ["one", "a quiet one", "three"]})


def call(fn, **fields):
    node = Map(docs=DOCS, fn=f"tests.stages.map_functions:{fn}", **fields)
    node.check()
    assert node.phases()[0].needs == ("text",)
    return node, node.open(None)(TABLE)


def test_a_batch_function_adds_and_removes():
    node, found = call("letters", writes={"letters": "int32"}, removes=("short",), params={"least": 4})
    assert found.added["letters"].equals(pa.array([3, 11, 5], pa.int32()))
    assert found.removed.reason.to_pylist() == ["map.short", None, None]
    assert node.reasons == ("map.short",)
    assert node.adds() == {"letters": "int32"}
    assert not node.changes_text


def test_a_row_function_changes_text_where_it_says_so():
    node, found = call("shout", per="row", writes={"loud": "bool"}, new_text=True, params={"mark": "?"})
    assert found.text.to_pylist() == [None, "A QUIET ONE?", None]
    assert found.added["loud"].to_pylist() == [False, True, False]
    assert node.changes_text


def test_a_column_of_lists_is_one_that_a_sample_can_be_made_of():
    _, found = call("places", writes={"places": "list<int32>"})
    assert found.added["places"].equals(pa.array([[], [0, 1], [0]], pa.list_(pa.int32())))


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        ("too_short", "letters of 1 values; expected 3"),
        ("wrong_type", "letters: .*; expected int32 values"),
        ("wrong_name", "it returned words; expected letters"),
        ("unknown_reason", "the reason 'odd'; expected one of short"),
        ("fails", "KeyError: 'colour'"),
        ("not_there", "no attribute 'not_there'"),
    ],
)
def test_what_does_not_fit_names_the_function(fn, message):
    with pytest.raises(DataError, match=rf"map tests\.stages\.map_functions:{fn}: .*{message}"):
        call(fn, writes={"letters": "int32"}, removes=("short",))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fn": "no_colon", "writes": {"a": "int32"}}, "package.module:function"),
        ({"fn": "a:b"}, "changes nothing"),
        ({"fn": "a:b", "writes": {"text": "string"}}, "a reserved name"),
    ],
)
def test_a_node_that_cannot_be_is_refused(fields, message):
    with pytest.raises(RecipeError, match=message):
        Map(docs=DOCS, **fields).check()
