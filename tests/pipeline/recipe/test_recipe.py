"""Recipes: what is written is read back, and every mistake is named with its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from recipe_vocabulary import NODES, VOCABULARY, Dense, Flat, Rope, Rows, Sieve, Small, Source, Steep, Table, Train

from pipeline.errors import RecipeError
from pipeline.recipe import Vocabulary, dump, load, parse
from pipeline.recipe.schema import schema
from pipeline.recipe.tree import compose, plain, scalar

FIRST = """
name: first
store: runs/
nodes:
  docs:  {use: source, paths: ["a/*.gz", "demo://x", /abs]}
  wiki:  {use: source, paths: [b], limit: 3}
  sieve: {use: sieve, docs: {use: sieve, docs: [docs, wiki], as: old}, languages: [no, en], share: 1e-1}
  rows:  {use: rows, docs: sieve}
  other: {use: rows, docs: wiki, tokenizer: my/tok.json}
  mixed: {use: train, rows: {rows: 0.8, other: 1}, model: {small: 1m, rank: 16}, weights: {steep: {r: 2}}}
  plain: {use: train, rows: rows, model: {dense: 1m}, weights: flat, start: mixed}
  table: {use: table, runs: [mixed, plain], shares: {rows: 0.5}}
"""


def test_every_form_of_a_field() -> None:
    recipe = parse(FIRST, VOCABULARY, folder=Path("/base"))
    docs, wiki, sieve, rows, other, mixed, plain_, table = recipe.nodes.values()
    assert docs.paths == ("/base/a/*.gz", "demo://x", "/abs")
    assert (sieve.languages, sieve.share, sieve.docs.as_) == (("no", "en"), 0.1, "old")
    assert sieve.docs.docs == (docs, wiki)
    assert other.tokenizer == "/base/my/tok.json"
    assert mixed.rows == ((rows, 0.8), (other, 1.0))
    assert (mixed.model, mixed.weights) == (Small("1m", rank=16), Steep(r=2.0))
    assert (plain_.model, plain_.weights, plain_.start) == (Dense("1m"), Flat(), mixed)
    assert table.runs == (mixed, plain_)
    assert table.shares == {rows: 0.5}
    assert (recipe.name, recipe.store, recipe.located_store) == ("first", "runs/", "/base/runs")


def chain(many: int) -> list[str]:
    return ["n0: {use: source, paths: [x]}", *(f"n{i}: {{use: sieve, docs: n{i - 1}}}" for i in range(1, many))]


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_of_names_may_have_any_length_in_any_order(step) -> None:
    recipe = parse("\n  ".join(["nodes:", *chain(600)[::step]]), VOCABULARY)
    assert len(recipe.nodes) == 600
    assert all(recipe.nodes[f"n{i}"].docs is recipe.nodes[f"n{i - 1}"] for i in range(1, 600))


@pytest.mark.parametrize("many", [110, 400])
def test_inline_nodes_have_a_bound_that_is_said(many) -> None:
    def nested(levels):
        return "{use: sieve, docs: " * levels + "{use: source, paths: [x]}" + "}" * levels

    assert len(parse(f"nodes: {{a: {nested(90)}}}", VOCABULARY).nodes) == 1
    with pytest.raises(RecipeError, match="lists or mappings in one another; expected at most 100 levels"):
        parse(f"nodes: {{a: {nested(many)}}}", VOCABULARY)
    anchors = "\n  ".join(f"n{i}: &n{i} {{use: sieve, docs: *n{i - 1}}}" for i in range(1, many))
    with pytest.raises(RecipeError, match="expected at most 100 levels"):
        parse(f"nodes:\n  n0: &n0 {{use: source, paths: [x]}}\n  {anchors}", VOCABULARY)


def test_a_long_circle_of_names_is_named() -> None:
    lines = [f"n{i}: {{use: sieve, docs: n{(i + 1) % 500}}}" for i in range(500)]
    with pytest.raises(RecipeError, match=r"a cycle through 'n\d+' of more than 100 nodes"):
        parse("\n  ".join(["nodes:", *lines]), VOCABULARY)


def test_an_alias_is_one_node() -> None:
    recipe = parse(
        "nodes: {a: {use: sieve, docs: &d {use: source, paths: [x]}}, b: {use: sieve, docs: *d}}", VOCABULARY
    )
    assert recipe.nodes["a"].docs is recipe.nodes["b"].docs


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("docs: {use: source, paths: [a, ^1]}", "paths[1] is 1; expected text"),
        ("docs: {use: source, paths: [a], ^formt: txt}", "did you mean 'format'?"),
        ("docs: {use: source, paths: [a], format: ^json}", "expected 'jsonl' or 'txt'"),
        ("docs: ^{use: source}", "source without paths"),
        ("docs: {use: ^sorce, paths: [a]}", "did you mean 'source'?"),
        ("docs: ^{paths: [a]}", "a node without `use`"),
        ("docs: ^source", "expected a node"),
        ("bad: {use: sieve, docs: ^ok1}", "no node 'ok1'; did you mean 'ok'?"),
        ("bad: {use: sieve, docs: ^[]}", "an empty list"),
        ("bad: {use: sieve, docs: ^3}", "docs is 3; expected the name of a node"),
        ("bad: {use: sieve, docs: ok, ^share: 2}", "share: 2.0; expected a number from 0 to 1"),
        ("bad: {use: sieve, docs: ok, languages: ^en}", "expected a list"),
        ("bad: {use: sieve, docs: ok, ranges: {a: [1, ^x]}}", "ranges.a[1] is 'x' (text)"),
        ("bad: {use: sieve, docs: ok, strict: ^yes}", "expected true or false"),
        ("bad: {use: sieve, docs: ok, ^docs: ok}", "the key 'docs' twice (first at r.yaml:3:20)"),
        ("bad: {use: sieve, docs: ^bad}", "a cycle: bad -> bad"),
        ("bad: {use: train, rows: {ok: ^much}, model: {dense: 1m}}", "the share of 'ok' is 'much'"),
        ("bad: {use: train, rows: ok, model: {^dens: 1m}}", "no kind of model 'dens'; did you mean 'dense'?"),
        ("bad: {use: train, rows: ok, model: {^rope: 1}}", "no kind of model 'rope'"),
        ("bad: {use: train, rows: ok, model: {^small: 1m}}", "Small without rank"),
        ("bad: {use: train, rows: ok, model: {dense: 1m, ^width: 0}}", "width: found 0; expected at least 1"),
        ("bad: {use: train, rows: ok, model: {dense: {size: 1m}, ^width: 1}}", "'width' beside"),
        ("bad: {use: train, rows: ok, model: {dense: 1m}, weights: {flat: ^1}}", "flat: 1"),
        ("bad: {use: train, rows: ok, model: {dense: 1m}, steps: ^1.5}", "expected a whole number"),
        ("^a b: {use: source, paths: [a]}", "the node name 'a b'"),
        ("bad: ^!node {}", "the tag !node"),
        ("bad: {use: source, paths: [a^}", "expected YAML"),
        ("bad: {use: sieve, docs: ^&a [*a]}", "an anchor that holds itself"),
    ],
)
def test_a_mistake_is_named_with_its_place(line: str, words: str) -> None:
    """The place is where `^` stands in the line."""
    text = f"nodes:\n ok: {{use: source, paths: [x]}}\n {line.replace('^', '')}\n"
    with pytest.raises(RecipeError) as error:
        parse(text, VOCABULARY, source="r.yaml")
    assert str(error.value).startswith(f"r.yaml:3:{line.index('^') + 2}: ")
    assert words in str(error.value)


def test_all_problems_are_named_in_the_order_of_the_text() -> None:
    text = "nodes:\n a: {use: sorce}\n b: {use: source, paths: [1]}\nstor: x\nname: 3\n"
    with pytest.raises(RecipeError) as error:
        parse(text, VOCABULARY, source="r")
    lines = [str(error.value), *error.value.__notes__]
    assert [line[:4] for line in lines] == ["r:2:", "r:3:", "r:4:", "r:5:"]


@pytest.mark.parametrize("text", ["", "- x", "nodes:", "nodes: {}", "a: b: c", "nodes: {a\0: 1}", "--- 1\n--- 2"])
def test_a_text_that_is_no_recipe(text: str) -> None:
    with pytest.raises(RecipeError):
        parse(text, VOCABULARY)


def test_a_file_that_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for path, words in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "byte 0xe9 at 9"),
    ):
        with pytest.raises(RecipeError, match=words):
            load(path, VOCABULARY)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("wiki.limit=7", lambda nodes: nodes["wiki"].limit, 7),
        ("sieve.share=0.2", lambda nodes: nodes["sieve"].share, 0.2),
        ("sieve.docs.as=new", lambda nodes: nodes["sieve"].docs.as_, "new"),
        ("mixed.model.rank=8", lambda nodes: nodes["mixed"].model.rank, 8),
        ("plain.model={small: 2m, rank: 1}", lambda nodes: nodes["plain"].model, Small("2m", rank=1)),
        ("wiki.limit=", lambda nodes: nodes["wiki"].limit, None),
    ],
)
def test_an_override_changes_one_field(change: str, field, value) -> None:
    assert field(parse(FIRST, VOCABULARY).nodes) != value
    assert field(parse(FIRST, VOCABULARY, overrides=[change]).nodes) == value


def test_an_override_reaches_a_node_with_dots_in_its_name() -> None:
    text = FIRST.replace("wiki", "wiki.en")
    assert parse(text, VOCABULARY, overrides=["wiki.en.limit=7"]).nodes["wiki.en"].limit == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("x", "no override"),
        ("name=x", "no override"),
        ("wik.limit=1", "did you mean 'wiki'?"),
        ("wiki.limt=3", "did you mean 'limit'?"),
        ("wiki.limit=three", "expected a whole number"),
        ("mixed.model.small.x=1", "expected a mapping"),
        ("wiki.paths=[", "expected YAML"),
    ],
)
def test_an_override_is_checked_like_the_text(change: str, words: str) -> None:
    with pytest.raises(RecipeError, match="-s ") as error:
        parse(FIRST, VOCABULARY, overrides=[change])
    assert words in str(error.value)


def test_what_the_graph_refuses_is_named_with_its_line() -> None:
    recipe = parse(
        "nodes:\n a: {use: source, paths: [x]}\n b: {use: rows, docs: {use: rows, docs: a}}",
        VOCABULARY,
        source="r",
    )
    with pytest.raises(RecipeError, match=r"r:3:2: b\.docs: .*carries no rows"):
        recipe.graph()
    with pytest.raises(RecipeError, match="did you mean 'table'"):
        parse(FIRST.replace("docs: ", "a: ", 1).replace("[docs,", "[a,"), VOCABULARY).graph(["tabel"])


# the law: what is dumped is parsed back

texts = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["no", "1", "1e3", "null", "~", "true", "a: b", "# x", "-", "*", "'"]
)
numbers = st.floats(allow_nan=False) | st.integers(-9, 9).map(float)
models = st.builds(Dense, texts, width=st.none() | st.integers(1, 9)) | st.builds(
    Small, texts, rank=st.integers(0, 9), rope=st.builds(Rope, theta=numbers)
)
weights = st.just(Flat()) | st.builds(Steep, r=numbers, bounds=st.tuples(numbers, numbers))


@st.composite
def graphs(draw):
    """Nodes in order, each with a name, drawn over all kinds of fields."""
    nodes = [
        draw(
            st.builds(
                Source,
                paths=st.lists(texts, max_size=3).map(tuple),
                format=st.sampled_from(["jsonl", None]),
                limit=st.none() | st.integers(0, 9),
            )
        )
    ]
    for kind in draw(st.lists(st.sampled_from([Source, Sieve, Rows, Train, Table]), max_size=6)):
        some = st.sampled_from(nodes)
        lists = st.lists(some, min_size=1, max_size=3, unique_by=id).map(tuple)
        shares = st.dictionaries(some, numbers, min_size=1, max_size=3)
        nodes.append(
            draw(
                {
                    Source: st.builds(Source, paths=st.tuples(texts)),
                    Sieve: st.builds(
                        Sieve,
                        docs=some | lists,
                        share=st.floats(0, 1),
                        languages=st.lists(texts).map(tuple),
                        as_=st.none() | texts,
                        workers=st.integers(),
                        strict=st.booleans(),
                        ranges=st.none() | st.dictionaries(texts, st.tuples(st.integers(), st.integers())),
                    ),
                    Rows: st.builds(Rows, docs=some, tokenizer=some),
                    Train: st.builds(
                        Train,
                        rows=some | shares.map(lambda d: tuple(d.items())),
                        model=models,
                        weights=weights,
                        start=st.none() | some,
                        steps=st.integers(),
                    ),
                    Table: st.builds(Table, runs=lists, shares=st.none() | shares),
                }[kind]
            )
        )
    names = draw(
        st.lists(
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,6}", fullmatch=True),
            min_size=len(nodes),
            max_size=len(nodes),
            unique=True,
        )
    )
    return nodes, names


@pytest.mark.long
@given(graphs())
@settings(max_examples=150, report_multiple_bugs=False)
def test_what_is_written_is_read_back(graph) -> None:
    nodes, names = graph
    text = dump(nodes, dict(zip(nodes, names, strict=True)), VOCABULARY, name="a.b", store="s3://x/y z")
    recipe = parse(text, VOCABULARY)
    assert (recipe.name, recipe.store, list(recipe.nodes)) == ("a.b", "s3://x/y z", names)
    again = {old: new for old, new in zip(nodes, recipe.nodes.values(), strict=True)}
    for old, new in again.items():
        assert type(new) is type(old)
        for field in old.__dataclass_fields__:
            assert getattr(new, field) == _renamed(getattr(old, field), again), field
    assert (
        dump(
            list(recipe.nodes.values()),
            {n: k for k, n in recipe.nodes.items()},
            VOCABULARY,
            name="a.b",
            store="s3://x/y z",
        )
        == text
    )
    jsonschema.validate(plain(compose(text, "r")), SCHEMA)


def _renamed(value, again):
    if isinstance(value, tuple):
        return tuple(_renamed(item, again) for item in value)
    if isinstance(value, dict):
        return {_renamed(key, again): item for key, item in value.items()}
    return again.get(value, value) if type(value) in (Source, Sieve, Rows, Train, Table) else value


SCHEMA = schema(VOCABULARY)


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(plain(compose(FIRST, "r")), SCHEMA)
    for node in (
        {"use": "sorce"},
        {"use": "source"},
        {"use": "source", "paths": ["a"], "limt": 1},
        {"use": "source", "paths": ["a"], "format": "json"},
        {"use": "train", "rows": "a", "model": {"rope": 1}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"nodes": {"a": node}}, SCHEMA)


def test_a_class_without_a_name_cannot_be_written() -> None:
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Nameless(Source):
        pass

    node = Nameless(paths=("x",))
    with pytest.raises(RecipeError, match="Nameless has no name in a recipe"):
        dump([node], {node: "a"}, Vocabulary(NODES, {}), name="x")


def test_a_class_of_the_users_is_named_by_its_place() -> None:
    """`other` knows no kind but one, which every other class of the vocabulary is not."""
    other = Vocabulary({"train": NODES["train"]}, {})
    place = f"{Source.__module__}:Source"
    read = parse(f"nodes:\n  a: {{use: '{place}', paths: [x]}}\n", other).nodes["a"]
    assert type(read) is Source
    text = dump([read], {read: "a"}, other, name="x")
    assert place in text
    assert parse(text, other).nodes["a"].paths == read.paths == ("x",)
    jsonschema.validate(plain(compose(text, "r")), schema(other))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no_such_module:Node", "no module 'no_such_module' in the working folder"),
        (f"{Source.__module__}:Sourse", "no class 'Sourse' in the module .*; did you mean 'Source'?"),
        (f"{Source.__module__}:Dense", ".*:Dense is no node; expected a frozen dataclass"),
        ("a b:C", "'a b:C'; expected module:Class"),
    ],
)
def test_a_place_without_a_node_is_told_with_its_line(place: str, words: str) -> None:
    with pytest.raises(RecipeError, match=f"^recipe:2:12: {words}"):
        parse(f"nodes:\n  a: {{use: '{place}', paths: [x]}}\n", Vocabulary(NODES, {}))


def test_a_class_of_the_users_may_not_take_the_name_of_a_kind() -> None:
    other = Vocabulary({**NODES, "source": NODES["train"]}, {})
    with pytest.raises(RecipeError, match="is of the kind 'source', as a node of siftloom is"):
        parse(f"nodes:\n  a: {{use: '{Source.__module__}:Source', paths: [x]}}\n", other)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_python_writes_them(number) -> None:
    found = scalar(repr(number))
    assert found == number
    assert type(found) is type(number)


def test_a_field_set_everywhere_reaches_inline_nodes_too() -> None:
    text = "nodes: {a: {use: sieve, docs: {use: source, paths: [x], limit: 9}}, b: {use: source, paths: [y]}}"
    nodes = parse(text, VOCABULARY, everywhere={"source": lambda fields: {**fields, "limit": 5}}).nodes
    assert (nodes["a"].docs.limit, nodes["b"].limit) == (5, 5)


def test_a_recipe_that_grows_without_bound_is_refused_at_once() -> None:
    """Anchors of anchors: a few lines that would be 10^9 values."""
    lines = ["nodes:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(RecipeError, match=r"more than 100,000 values once its aliases are written out"):
        parse("\n".join(lines), VOCABULARY)


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_a_recipe_nested_too_deeply_is_refused(opening: str) -> None:
    with pytest.raises(RecipeError, match="lists or mappings in one another; expected at most 100 levels"):
        parse("nodes: " + opening * 5000, VOCABULARY)


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 301, "1e400"])
def test_a_number_that_nothing_can_hold_is_named_with_its_place(number: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe:1:18: .*a smaller number"):
        parse(f"nodes: {{a: {{use: {number}}}}}", VOCABULARY)
