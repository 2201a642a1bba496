"""`repeat`: each round stands on the one before, and the nodes are those of a recipe that names each by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from recipe_vocabulary import VOCABULARY

from pipeline.errors import RecipeError
from pipeline.recipe import parse
from pipeline.recipe.schema import schema
from pipeline.recipe.tree import compose, plain

FIRST = """
nodes:
  docs: {use: source, paths: [a]}
  base: {use: train, rows: {use: rows, docs: docs}, model: {dense: 1m}}
  table: {use: table, runs: [base, student_1, teacher]}
"""
ROUNDS = """
repeat:
  times: 2
  carry: {teacher: {first: base, then: student}}
  nodes:
    student: {use: train, rows: {use: rows, docs: sieve}, model: {dense: 1m}, start: teacher}
    sieve: {use: sieve, docs: docs, share: 0.1}
"""
BY_HAND = """
  sieve_1: {use: sieve, docs: docs, share: 0.1}
  student_1: {use: train, rows: {use: rows, docs: sieve_1}, model: {dense: 1m}, start: base}
  sieve_2: {use: sieve, docs: docs, share: 0.1}
  student_2: {use: train, rows: {use: rows, docs: sieve_2}, model: {dense: 1m}, start: student_1}
"""


def test_rounds_are_nodes_that_could_be_written_by_hand() -> None:
    found = parse(FIRST + ROUNDS, VOCABULARY).nodes
    by_hand = parse(FIRST.replace("teacher", "student_2") + BY_HAND, VOCABULARY).nodes
    assert set(found) == set(by_hand)
    assert {name: repr(node) for name, node in found.items()} == {name: repr(node) for name, node in by_hand.items()}
    assert found["student_2"].start is found["student_1"]
    assert found["student_1"].start is found["base"]
    assert found["student_1"].rows.docs is found["sieve_1"] is not found["sieve_2"]
    assert found["table"].runs == (found["base"], found["student_1"], found["student_2"])


def test_no_round_leaves_what_is_carried() -> None:
    text = FIRST.replace("student_1, ", "") + ROUNDS
    found = parse(text, VOCABULARY, overrides=["repeat.times=0"]).nodes
    assert set(found) == {"docs", "base", "table"}
    assert found["table"].runs == (found["base"], found["base"])


def test_an_override_changes_a_node_of_every_round() -> None:
    found = parse(FIRST + ROUNDS, VOCABULARY, overrides=["sieve.share=0.3", "repeat.times=3"]).nodes
    assert [found[f"sieve_{number}"].share for number in (1, 2, 3)] == [0.3] * 3
    assert found["table"].runs[-1] is found["student_3"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("times: 2", "times: yes", "`times` is 'yes' (text); expected a whole number from 0 to 1000"),
        ("times: 2", "times: -1", "`times` is -1"),
        ("times: 2", "time: 2", "unknown key 'time' of `repeat`; did you mean 'times'"),
        ("first: base", "first: bass", "`first` of 'teacher' is 'bass' (text), which is no node before the rounds"),
        ("then: student", "then: docs", "`then` of 'teacher' is 'docs' (text), which is no node of a round"),
        ("teacher: {first", "docs: {first", "'docs' is a node too"),
        ("{first: base, then: student}", "base", "'teacher' is 'base' (text); expected `{first: NODE, then: NODE}`"),
        ("    sieve: ", "    docs: ", "'docs' of `repeat`, and a node 'docs' beside it"),
        ("docs: sieve}", "docs: sift}", "no node 'sift'"),
        ("start: teacher", "start: student_2", "a cycle: student_2 -> student_2"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, words: str) -> None:
    assert old in ROUNDS
    with pytest.raises(RecipeError) as error:
        parse(FIRST + ROUNDS.replace(old, new), VOCABULARY)
    said = [str(error.value), *getattr(error.value, "__notes__", ())]
    assert any(words in line and line.startswith("recipe:") for line in said), said


def test_the_schema_knows_rounds() -> None:
    jsonschema.validate(plain(compose(FIRST + ROUNDS, "recipe")), schema(VOCABULARY))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(compose(FIRST + ROUNDS.replace("times", "time"), "recipe")), schema(VOCABULARY))
