"""The reference pages of the documentation, made from docstrings, types and options when the pages are built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from siftloom.explain import Explained, explain, sentence
from siftloom.vocabulary import vocabulary

ROLES = {
    "threshold": "may change without scoring anything again",
    "runtime": "changes no output",
    "sources": "files, known by their digests",
    "target": "a place outside the store",
    "reach": "how far to read; changes no file",
}


def node_page() -> str:
    """Return every node and its fields as Markdown."""
    known = vocabulary()
    lines = [
        "# Reference: nodes",
        "",
        "The fields are the keys of a recipe. `siftloom help NODE` prints the same.",
    ]
    lines += ["", "| node | does |", "|---|---|"]
    lines += [f"| [`{kind}`](#{kind}) | {_cell(sentence(known.node(kind)))} |" for kind in known.nodes]
    for kind in known.nodes:
        lines += ["", *_entry(explain(kind, known.node(kind)))]
    return "\n".join(lines) + "\n"


def value_page() -> str:
    """Return every value that stands in a field (models, optimisers, objectives and the like) as Markdown."""
    known = vocabulary()
    lines = ["# Reference: values", "", "Models, weights of samples, optimisers and the other values of a training."]
    for kind, cls in known.values.items():
        lines += ["", *_entry(explain(kind, cls))]
    return "\n".join(lines) + "\n"


def command_page() -> str:
    """Return every command with its arguments and options as Markdown."""
    from siftloom.cli.main import command_line

    lines = ["# Reference: commands", "", "Exit codes: 0 done, 1 a node failed, 2 usage or recipe error, 75 another"]
    lines += ["driver holds a node (`--no-wait`), 130 and 143 stopped by a signal after the work in flight."]
    for name, command in command_line().commands.items():
        lines += ["", f"## siftloom {name} {{ #{name} }}", "", command.help.strip(), ""]
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, option))} |" for option in _options(command)]
    return "\n".join(lines) + "\n"


PAGES = {"nodes": node_page, "values": value_page, "commands": command_page}


def _options(command: Any) -> Iterator[tuple[str, str, str]]:
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
        else:
            name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        given = parameter.default
        default = "required" if parameter.required else "" if given in (None, False) or callable(given) else str(given)
        yield f"`{name}`", default, getattr(parameter, "help", "") or ""


def _entry(found: Explained) -> Iterator[str]:
    yield f"## {found.kind} {{ #{found.kind} }}"
    yield ""
    yield found.doc.partition("\n\n")[0]
    yield ""
    if found.fields:
        yield "| field | type | default | meaning |"
        yield "|---|---|---|---|"
    for field in found.fields:
        role = ROLES.get(field["role"])
        text = field["description"] + (f" ({role})" if role else "")
        yield f"| `{field['name']}` | {_cell(field['type'])} | {_cell(field['default'])} | {_cell(text)} |"
    yield ""
    yield f"```text\n{found.example}\n```"


def _cell(text: str) -> str:
    """Return a text that keeps to its cell of a table: no bars, no lines, and no markup outside of code."""
    parts = text.replace("|", "\\|").replace("\n", " ").split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))
