"""Every name in the tables leads to a class of that name."""

import pytest

from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.catalog import NODES, VALUES, load, load_value


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_found_under_its_own_kind(name):
    found = load(name)
    assert issubclass(found, Node)
    assert found.kind() == name
    assert found.__doc__


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_found(name):
    assert load_value(name).__doc__


def test_the_nearest_name_is_offered():
    with pytest.raises(RecipeError, match=r"'gopher_quality'\?"):
        load("gopher_qualty")
    with pytest.raises(RecipeError, match="one of"):
        load("zzz")
    with pytest.raises(RecipeError, match="'lin_upper'"):
        load_value("linupper")
