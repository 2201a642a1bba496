"""Identity: the same in every process, moved by what can move a byte and by nothing else, refused where unstable."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import Lines, Long, Vowels

from pipeline.bounds import Share
from pipeline.contract import Node
from pipeline.errors import IdentityError
from pipeline.fingerprint import canonical, canonical_json, digest, node_form
from pipeline.inputs import nodes_in
from stages.select import Select

HERE = Path(__file__).parent

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def identity(node: Node) -> str:
    return digest(node_form(node, identity, {}))


def form_of(value: Any) -> str:
    return digest(canonical(value, identity, "here"))


@given(values)
def test_equal_values_have_one_form(value):
    again = json.loads(json.dumps(value))
    assert form_of(value) == form_of(again)


@given(st.dictionaries(st.text(max_size=6), st.integers(), min_size=2, max_size=5))
def test_order_of_keys_does_not_matter(mapping):
    assert form_of(mapping) == form_of(dict(reversed(mapping.items())))


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=5))
def test_order_of_items_matters(items):
    assert (form_of(items) == form_of(items[::-1])) == (items == items[::-1])
    assert form_of(items) == form_of(tuple(items))


@given(st.sets(st.text(max_size=4), max_size=6))
def test_a_set_of_strings_is_its_sorted_items(items):
    assert form_of(items) == form_of(frozenset(sorted(items, reverse=True)))
    assert form_of(items) != form_of(sorted(items))


@pytest.mark.long
@settings(max_examples=5)
@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8), st.integers(-(10**12), 10**12))
def test_another_process_agrees(least, letters, min_chars):
    node = Vowels(docs=Long(docs=Lines(paths=("a",)), min_chars=min_chars), least=least, letters=letters)
    code = (
        "import json,sys; sys.path[:0]=sys.argv[1:3]\n"
        "from nodes import Lines, Long, Vowels\nfrom test_fingerprint import identity\n"
        "least, letters, n = json.loads(sys.argv[3])\n"
        "print(identity(Vowels(docs=Long(docs=Lines(paths=('a',)), min_chars=n), least=least, letters=letters)))"
    )
    arguments = [str(HERE), str(HERE.parents[1]), json.dumps([least, letters, min_chars])]
    other = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "random"},
    )  # fmt: skip
    assert other.stdout.strip() == identity(node)


@dataclass(frozen=True, kw_only=True, eq=False)
class Anything(Node):
    value: Any


class Colour(enum.Enum):
    RED = "red"


class Plain:
    pass


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), len, lambda: 0, Plain(), Plain, {Plain()}, {1: "a", "b": 2}, {1.5: "a"},
     {True: "a"}, b"bytes", [1, {"a": float("nan")}], object(), {("a", "b")}, 1j],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)),  # the same in every process of `pytest -n`
)  # fmt: skip
def test_values_without_a_stable_form_are_refused(value):
    with pytest.raises(IdentityError, match=r"^place"):
        canonical(value, identity, "place")


def test_the_error_names_the_field_and_the_item():
    with pytest.raises(IdentityError, match=r"Anything\.value\.deep\[1\]"):
        identity(Anything(value={"deep": [1, float("nan")]}))


def test_enumerations_and_paths_stand_for_their_values():
    assert form_of(Colour.RED) == form_of("red")
    assert form_of(Path("a/b")) == form_of("a/b")


def test_a_whole_number_in_a_field_of_floats_is_the_float():
    docs = Lines(paths=("a",))
    assert identity(Vowels(docs=docs, least=1)) == identity(Vowels(docs=docs, least=1.0))
    assert identity(Long(docs=docs, min_chars=1)) != identity(Long(docs=docs, min_chars=2))


@pytest.mark.parametrize(
    ("annotation", "whole", "broken"),
    [(float, 1, 1.0), ("float", 1, 1.0), (float | None, 1, 1.0), ("None | float", 1, 1.0),
     (tuple[float, ...], (1, 2.5), (1.0, 2.5)), (tuple[float, ...], (1, 2), (1.0, 2.0)),
     ("tuple[str, float]", ("a", 1), ("a", 1.0)),
     (Mapping[str, float], {"a": 1}, {"a": 1.0}), (float | Mapping[str, float], {"a": 1}, {"a": 1.0}),
     (Share, 1, 1.0), (Share | None, 1, 1.0), (dict[str, Share], {"a": 1}, {"a": 1.0})],
    ids=str,
)  # fmt: skip
def test_whole_numbers_are_floats_wherever_floats_are_declared(annotation, whole, broken):
    made = dataclasses.make_dataclass(
        "Made", [("value", annotation)], bases=(Node,), frozen=True, kw_only=True, eq=False
    )
    assert identity(made(value=whole)) == identity(made(value=broken))


def test_a_share_of_a_stage_is_a_float_too():
    """Its hint is an alias, and it is postponed."""
    docs = Lines(paths=("a",))
    one, other = (Select(docs=docs, by="quality", keep_fraction=share) for share in (1, 1.0))
    assert identity(one) == identity(other)


@pytest.mark.parametrize("annotation", ["int | float", Any, tuple[int | float, float]])
def test_a_whole_number_is_another_value_where_it_may_mean_another_thing(annotation):
    made = dataclasses.make_dataclass(
        "Made", [("value", annotation)], bases=(Node,), frozen=True, kw_only=True, eq=False
    )
    whole, broken = ((1, 1), (1.0, 1)) if annotation == tuple[int | float, float] else (1, 1.0)
    assert identity(made(value=whole)) != identity(made(value=broken))


def test_every_field_but_runtime_ones_moves_the_fingerprint():
    docs = Lines(paths=("a",))
    node = Long(docs=docs)
    assert identity(node) == identity(dataclasses.replace(node, marks="elsewhere", pause=0.5))
    for change in ({"min_chars": 5}, {"unit": "byte"}, {"docs": Long(docs=docs)}):
        assert identity(node) != identity(dataclasses.replace(node, **change))


def test_kind_and_version_move_the_fingerprint():
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Later(Long):
        version = 2
        recipe_name = "long"

    @dataclass(frozen=True, kw_only=True, eq=False)
    class Longer(Long):
        pass

    docs = Lines(paths=("a",))
    assert len({identity(kind(docs=docs)) for kind in (Long, Later, Longer)}) == 3


def test_a_value_of_another_class_with_equal_fields_is_another_value():
    @dataclass(frozen=True)
    class Steep:
        r: float = 1.0

    @dataclass(frozen=True)
    class Flat:
        r: float = 1.0

    assert form_of(Steep()) != form_of(Flat())
    assert form_of(Steep()) == form_of(Steep(r=1.0))


def test_canonical_json_is_compact_sorted_and_keeps_letters():
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()


def test_nodes_are_found_in_lists_and_mappings_in_order():
    one, two, three = (Lines(paths=(name,)) for name in "abc")
    assert list(nodes_in({"x": (one, [two]), "y": three, "z": 4})) == [one, two, three]
