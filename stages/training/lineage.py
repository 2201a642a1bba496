"""The nodes that a node depends on, how they are configured, and what that says of the last one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.contract import Node
from pipeline.inputs import inputs_first, nodes_in
from pipeline.safe_text import markdown_code
from stages.documents import HALF


def lineage(node: Node) -> list[str]:
    """A line for each node that this one depends on, inputs first, with the fields that are not the defaults."""
    lines: list[str] = []
    for one in inputs_first([node]):
        values = [
            f"{field.name}={getattr(one, field.name)!r}"
            for field in dataclasses.fields(one)
            # paths of one machine and numbers of workers say nothing about the model
            if field.metadata.get("role") not in ("runtime", "sources")
            and not any(nodes_in(getattr(one, field.name)))
            and getattr(one, field.name) != field.default
        ]
        lines.append(f"- `{one.kind()}`" + (f": {markdown_code(', '.join(values))}" if values else ""))
    return lines


def inputs_in(value: object) -> Iterator[Node]:
    """Every node in the value of a field, in order."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from inputs_in(item)


def trained_on(model: Node) -> Iterator[tuple[Node, int | None]]:
    """The documents that a model, or a model that it started from, was trained on, and which half of them (None = all).
    Of a model that comes from elsewhere nothing is known.
    """
    if model.kind() == "pretrain":
        streamed = getattr(model, "feed", None) is not None  # then its rows are documents, else packed ones
        for rows in inputs_in(getattr(model, "rows", ())):
            for docs in inputs_in(rows if streamed else getattr(rows, "docs", ())):
                yield docs, None if streamed else getattr(rows, HALF, None)
    for field in ("start", "model"):
        inner = getattr(model, field, None)
        if isinstance(inner, Node):
            yield from trained_on(inner)


def bases_behind(docs: Node | tuple[Node, ...]) -> Iterator[Node]:
    """Every node that laid down rows which these documents are, or were made from."""
    for one in inputs_in(docs):
        if one.new_base is not None:
            yield one
        yield from bases_behind(getattr(one, one.stream, ()))


def nearest(docs: Node, kind: str) -> Node | None:
    """The last node of a kind on the way of the documents, this one included."""
    if docs.kind() == kind:
        return docs
    found = [nearest(one, kind) for one in inputs_in(getattr(docs, docs.stream, ()))]
    return found[0] if found and all(one is not None and alike(one, found[0]) for one in found) else None


def alike(one: object, other: object) -> bool:
    """Whether two values of fields, nodes among them, are configured alike: then they give the same rows."""
    if one is other:
        return True
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if not isinstance(one, Node):
        return one == other
    fields = [field.name for field in dataclasses.fields(one) if field.metadata.get("role") != "runtime"]
    return type(one) is type(other) and all(alike(getattr(one, name), getattr(other, name)) for name in fields)


def sees_both_sides(model: Node) -> bool:
    """Whether a model was trained last to see both sides, as far as its node says it."""
    if model.kind() == "export":
        return sees_both_sides(getattr(model, "model"))  # noqa: B009  a node of any file
    return bool(getattr(getattr(model, "ends_with", None), "both_sides", False))


def tokens_seen(run: Mapping[str, Any]) -> int | None:
    """Tokens that a model was trained on, those of the model that it started from among them; None where that model
    came from elsewhere. `run`: the content of `config.json`.
    """
    own, before = run["tokens"], run.get("tokens_before", 0)
    return None if own is None or before is None else own + before
