"""The vocabulary of recipes: the catalogue of nodes and the tables of values, handed to the engine's reader."""

from __future__ import annotations

import functools

from pipeline.recipe import Vocabulary
from stages.catalog import NODES, VALUES, load_value


@functools.cache
def words() -> Vocabulary:
    """Every word a recipe may use. Values are free of torch, so all of them are loaded; nodes when they are used."""
    return Vocabulary(NODES, {kind: load_value(kind) for kind in VALUES})
