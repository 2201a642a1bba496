"""Every field of every node and value is described: in the schema, in `siftloom help` and on the reference pages."""

from __future__ import annotations

import re

import pytest

from pipeline.recipe.schema import schema
from siftloom import reference
from siftloom.cli.main import command_line
from siftloom.explain import explain, sentence
from siftloom.vocabulary import vocabulary

KNOWN = vocabulary()
CLASSES = {kind: KNOWN.node(kind) for kind in KNOWN.nodes} | dict(KNOWN.values)
VAGUE = 3  # words of a description, at least, where the type does not say it all


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_every_field_is_described(kind: str) -> None:
    found = explain(kind, CLASSES[kind])
    missing = [field["name"] for field in found.fields if len(field["description"]) < VAGUE]
    assert not missing, f"list {', '.join(missing)} in the docstring of {CLASSES[kind].__name__}"
    assert sentence(CLASSES[kind])


def test_the_schema_has_the_descriptions_of_help() -> None:
    definitions = schema(KNOWN)["$defs"]
    for kind in KNOWN.nodes:
        properties = definitions[f"node.{kind}"]["properties"]
        for field in explain(kind, CLASSES[kind]).fields:
            assert properties[field["name"]]["description"] == field["description"], f"{kind}.{field['name']}"


@pytest.mark.parametrize("page", ["nodes", "values"])
def test_the_pages_hold_every_field(page: str) -> None:
    text = reference.PAGES[page]()
    sections = dict(re.findall(r"^## (\w+) .*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(KNOWN.nodes if page == "nodes" else KNOWN.values)
    for kind, section in sections.items():
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == [field["name"] for field in explain(kind, CLASSES[kind]).fields]
        for row in rows:
            assert len(re.findall(r"(?<!\\)\|", row)) == 5, f"a bar too many or too few in the table: {row}"


def test_the_pages_hold_every_option_with_a_meaning() -> None:
    text = reference.PAGES["commands"]()
    for name, command in command_line().commands.items():
        section = text.partition(f"## siftloom {name} ")[2].partition("\n## ")[0]
        assert command.help.strip() in section
        for parameter in command.params:
            if parameter.name != "help":
                assert parameter.help, f"siftloom {name}: {parameter.name} has no help"
                assert parameter.help in section.replace("&lt;", "<").replace("\\|", "|")


def test_a_text_keeps_to_its_cell() -> None:
    assert reference._cell("a | b\n`<as>_p` <c>") == "a \\| b `<as>_p` &lt;c>"
