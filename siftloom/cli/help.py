"""`help`: every node and value of a recipe, its fields, and what each of them means."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from siftloom.cli import complete
from siftloom.cli.run import JSON
from siftloom.screen import say, say_json, table


def help(
    kind: Annotated[
        str | None,
        typer.Argument(help="a node or value, or module:Class", metavar="[NODE]", autocompletion=complete.kinds),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Explain a node: its purpose, its fields and an example. Without a name, list all nodes."""
    from siftloom.explain import explain, sentence
    from siftloom.vocabulary import vocabulary

    known = vocabulary()
    if kind is None:
        nodes = {name: sentence(known.node(name)) for name in known.nodes}
        if as_json:
            say_json(nodes)
        else:
            table(("node", "does"), nodes.items())
            say("\nsiftloom help NODE explains one; values: " + ", ".join(known.values))
        return
    found = explain(kind, _class(kind))
    if as_json:
        say_json(asdict(found))
        return
    say(found.doc.partition("\n\n")[0] + "\n")
    rows = [(f["name"], f["type"], f["default"], f["description"]) for f in found.fields]
    table(("field", "type", "default", "meaning"), rows)
    say(f"\nexample:  {found.example}")


def _class(kind: str) -> type:
    from pipeline.errors import UserError
    from pipeline.recipe.own_nodes import is_place
    from pipeline.recipe.tree import nearest
    from siftloom.vocabulary import vocabulary

    known = vocabulary()
    if kind in known.nodes or is_place(kind):
        return known.node(kind)
    if kind in known.values:
        return known.values[kind]
    names = [*known.nodes, *known.values]
    raise UserError("help", f"no node or value {kind!r}{nearest(kind, names)}", "a name that `siftloom help` lists")
