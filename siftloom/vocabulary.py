"""The names that recipes may use: the catalogue of nodes and the tables of values, given to the engine's reader."""

from __future__ import annotations

import functools

from pipeline.recipe import Vocabulary
from stages.catalog import NODES, VALUES, load_value


@functools.cache
def vocabulary() -> Vocabulary:
    """Return every name of a recipe. Values need no torch, so all of them are loaded; nodes when they are used."""
    return Vocabulary(NODES, {kind: load_value(kind) for kind in VALUES})
