"""In which order the nodes of a recipe are read: each behind those that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.recipe.tree import Leaf, Table, Tree, inner


def inputs_first(trees: Mapping[str, Tree], meant: Callable[[str, str], str]) -> list[str]:
    """Return the names of all nodes, each behind those that it uses. So the reader never follows a long chain at once.
    `meant` returns the node that a word means in the tree of a node.

    A word that is the name of a node counts as one wherever it stands; a circle is left for the reader to tell of.
    """
    order: dict[str, None] = {}
    for first in trees:
        path, is_open = [(first, iter(_named_in(first, trees, meant)))], {first}
        while path:
            name, left = path[-1]
            after = None if name in order else next(left, None)
            if after is None:
                order[name] = None
                is_open.discard(name)
                path.pop()
            elif after not in order and after not in is_open:
                path.append((after, iter(_named_in(after, trees, meant))))
                is_open.add(after)
    return list(order)


def _named_in(name: str, trees: Mapping[str, Tree], meant: Callable[[str, str], str]) -> list[str]:
    """Names of nodes that stand in the tree of one, as values or as keys."""
    found, todo = [], [trees[name]]
    while todo:
        tree = todo.pop()
        words = list(tree.entries) if isinstance(tree, Table) else [tree.value] if isinstance(tree, Leaf) else []
        nodes = [meant(word, name) for word in words if isinstance(word, str)]
        found += [node for node in nodes if node in trees and node != name]
        todo += inner(tree)
    return found
