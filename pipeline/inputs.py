"""From a node to the nodes that it is made from: those in its fields, and all that stand behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.contract import Node
from pipeline.errors import GraphError


def nodes_in(value: Any) -> Iterator[Node]:
    """Every node inside a field's value, in order; those in the fields of a configuration too."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from nodes_in(key)
            yield from nodes_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from nodes_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from nodes_in(getattr(value, field.name))


def parents_of(node: Node) -> list[Node]:
    """The nodes in a node's fields, in order."""
    return [parent for field in dataclasses.fields(node) for parent in nodes_in(getattr(node, field.name))]


def inputs_first(targets: Iterable[Node]) -> list[Node]:
    """Every node that the targets depend on and the targets themselves, each once and behind its inputs.

    A loop and no recursion, for a chain may be longer than the interpreter's stack. Raises GraphError for a cycle.
    """
    order: dict[int, Node] = {}
    for last in targets:
        path = [(last, iter(parents_of(_known(last))))]
        is_open = {id(last)}
        while path:
            node, left = path[-1]
            parent = None if id(node) in order else next(left, None)
            if parent is None:
                order.setdefault(id(node), node)
                is_open.discard(id(node))
                path.pop()
            elif id(parent) in is_open:
                begun = next(i for i, (one, _) in enumerate(path) if one is parent)
                loop = " -> ".join(one.kind() for one in (*(one for one, _ in path[begun:]), parent))
                raise GraphError("graph", f"a cycle: {loop}", "a graph without cycles")
            elif id(parent) not in order:
                path.append((parent, iter(parents_of(parent))))
                is_open.add(id(parent))
    return list(order.values())


def _known(node: Any) -> Node:
    if not isinstance(node, Node):
        raise GraphError("graph", f"a {type(node).__name__} where a node belongs", "nodes")
    return node
