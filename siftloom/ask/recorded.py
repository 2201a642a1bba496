"""The nodes of a run as its recipe says: values of their classes, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.contract import Node
from pipeline.errors import UserError
from pipeline.recipe import parse
from siftloom.vocabulary import vocabulary

if TYPE_CHECKING:
    from pipeline.run import StoredRun


def nodes_of(run: StoredRun, overrides: Sequence[str] = ()) -> Mapping[str, Node]:
    """Return the nodes that have a name, with fields changed. Raises UserError for a run without a recipe."""
    text = run.record.get("recipe")
    if not text:
        raise UserError(f"run {run.name}", "a run without a recipe", "a run of a recipe, or of nodes of the catalogue")
    return parse(text, vocabulary(), overrides=overrides, source=f"recipe of {run.name}").nodes
