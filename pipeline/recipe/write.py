"""From a graph to a recipe's text, which `parse` reads back as the same graph: what a run from Python keeps.

Every node is written flat under its name, with the fields that differ from their defaults, so the text shows
what was decided and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import yaml

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.recipe.tree import scalar
from pipeline.recipe.vocabulary import Vocabulary, fields_of


def dump(
    nodes: Sequence[Node],
    names: Mapping[Node, str],
    vocabulary: Vocabulary,
    *,
    name: str,
    store: str | None = None,
) -> str:
    """The recipe of `nodes` (inputs before their users), each of which has a name in `names`.

    Raises RecipeError for a node or a value without a name, such as a class that is in no catalogue.
    """
    writer = _RecipeWriter(names, vocabulary)
    lines = [f"name: {flow(name)}"] + ([f"store: {flow(store)}"] if store is not None else []) + ["nodes:"]
    lines += [f"  {flow(names[node])}: {flow(writer.node(node))}" for node in nodes]
    return "\n".join(lines) + "\n"


class _RecipeWriter:
    def __init__(self, names: Mapping[Node, str], vocabulary: Vocabulary) -> None:
        self.names, self.vocabulary = names, vocabulary

    def node(self, node: Node) -> dict[str, Any]:
        kind = node.kind()
        if kind not in self.vocabulary.nodes or self.vocabulary.node(kind) is not type(node):
            raise RecipeError(
                f"node {self.names[node]!r}",
                f"{type(node).__qualname__} has no name in a recipe",
                "a kind that `siftloom schema` lists; your own code is `map`",
            )
        return {"use": kind, **self.fields(node)}

    def fields(self, value: Any, skip: str | None = None) -> dict[str, Any]:
        found = {}
        for key, field in fields_of(type(value)).items():
            held = getattr(value, field.name)
            if key != skip and (field.required or not _same(held, field.default)):
                found[key] = self.value(held, f"{type(value).__name__}.{key}")
        return found

    def value(self, value: Any, place: str) -> Any:
        if isinstance(value, Node):
            return self.names[value]
        if isinstance(value, tuple) and value and all(_is_share(item) for item in value):
            return {self.names[node]: share for node, share in value}
        if isinstance(value, tuple | list):
            return [self.value(item, place) for item in value]
        if isinstance(value, Mapping):
            return {self.value(key, place): self.value(item, place) for key, item in value.items()}
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if (kind := self.vocabulary.kind_of(value)) is not None:
            first = next((field for field in fields_of(type(value)).values() if field.positional), None)
            if first is not None:
                return {
                    kind: self.value(getattr(value, first.name), place),
                    **self.fields(value, skip=first.key),
                }
            return {kind: fields} if (fields := self.fields(value)) else kind
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.fields(value)
        raise RecipeError(
            place, f"{value!r} has no form in a recipe", "text, a number, a list, a mapping or a named value"
        )


def _is_share(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], Node) and isinstance(item[1], int | float)


def _same(value: Any, default: Any) -> bool:
    # 1 == True and 1 == 1.0, but a recipe writes them differently
    return value is default or (type(value) is type(default) and value == default)


class _Dumper(yaml.SafeDumper):
    """Quotes what our reader would not read back as text, and nothing else."""

    yaml_implicit_resolvers: ClassVar[dict] = {}  # pyright: ignore[reportIncompatibleVariableOverride]

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A plain style is read back as text only when the text is no number and no keyword; single quotes
    # fold line breaks, of which YAML knows five.
    try:
        quoted = not isinstance(scalar(text), str) or not text.isprintable()
    except ValueError:  # it looks like a number that no field can hold
        quoted = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


def _plain(dumper: yaml.SafeDumper, value: Any) -> yaml.ScalarNode:
    text = (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
    )
    return dumper.represent_scalar("tag:yaml.org,2002:str", {"inf": ".inf", "-inf": "-.inf"}.get(text, text))


_Dumper.add_representer(str, _text)
for _kind in (int, float, bool, type(None)):
    _Dumper.add_representer(_kind, _plain)


def flow(value: Any) -> str:
    """A value on one line, as a recipe writes it."""
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=1_000_000, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
