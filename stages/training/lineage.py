"""The nodes that a node depends on, and how they are configured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline.contract import Node


def lineage(node: Node) -> list[str]:
    """A line for each node that this one depends on, inputs first, with the fields that are not the defaults."""
    lines: list[str] = []
    seen: set[int] = set()

    def visit(one: Node) -> None:
        if id(one) in seen:
            return
        seen.add(id(one))
        for field in dataclasses.fields(one):
            for parent in inputs_in(getattr(one, field.name)):
                visit(parent)
        values = [
            f"{field.name}={getattr(one, field.name)!r}"
            for field in dataclasses.fields(one)
            # paths of one machine and numbers of workers say nothing about the model
            if field.metadata.get("role") not in ("runtime", "sources")
            and not list(inputs_in(getattr(one, field.name)))
            and getattr(one, field.name) != field.default
        ]
        lines.append(f"- `{one.kind()}`" + (f": `{', '.join(values)}`" if values else ""))

    visit(node)
    return lines


def inputs_in(value: object) -> Iterator[Node]:
    """Every node in the value of a field, in order."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from inputs_in(item)
