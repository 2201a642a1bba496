"""The recipe of a command: read, changed by `-s` and `--limit`, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.graph import Graph
from pipeline.recipe import Recipe, load
from siftloom.vocabulary import vocabulary

LIMITED_BYTES = 64 * 1024  # of text; hardly a corpus has larger documents on average


def open_recipe(
    path: str, nodes: Sequence[str] = (), changes: Sequence[str] = (), limit: int | None = None
) -> tuple[Recipe, Graph]:
    """Return the recipe and the checked graph of the named nodes, or of all. Raises RecipeError."""
    everywhere = {"read": lambda fields: limited(fields, limit)} if limit is not None else None
    found = load(path, vocabulary(), changes, everywhere)
    return found, found.graph(nodes)


def limited(fields: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the fields of a `read` that stops early and does not even hash the files that it will not come to."""
    from pipeline.files.sources import expand
    from stages.read.demo import SCHEMES

    kept, bytes_ = [], 0
    for entry in expand(fields["paths"], "paths", SCHEMES, fields.get("exclude", ())).entries:
        if kept and bytes_ >= limit * LIMITED_BYTES:
            break
        kept.append(entry.path.reveal())
        bytes_ += entry.size * (1 if not entry.name.endswith((".gz", ".zst", ".parquet")) else 3)
    return {**fields, "paths": tuple(kept), "limit": limit}
