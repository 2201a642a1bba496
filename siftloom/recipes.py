"""A recipe as a command means it: with its overrides, and with a limit on what is read."""

from __future__ import annotations

from typing import Any

LIMITED_BYTES = 64 * 1024  # of text; hardly a corpus has larger documents on average


def opened(recipe: str, nodes: list[str] | None, changes: list[str] | None, limit: int | None) -> tuple[Any, Any]:
    """The recipe and its checked graph."""
    from pipeline.recipe import load
    from siftloom.words import words

    everywhere = {"read": lambda fields: limited(fields, limit)} if limit is not None else None
    found = load(recipe, words(), changes or (), everywhere)
    return found, found.graph(nodes or ())


def limited(fields: dict[str, Any], limit: int) -> dict[str, Any]:
    """The fields of a `read` that stops early, and does not even hash the files that it will not come to."""
    from pipeline.store.sources import expand
    from stages.read.demo import SCHEMES

    kept, bytes_ = [], 0
    for entry in expand(fields["paths"], "paths", SCHEMES).entries:
        if kept and bytes_ >= limit * LIMITED_BYTES:
            break
        kept.append(entry.path)
        bytes_ += entry.size * (1 if not entry.name.endswith((".gz", ".zst", ".parquet")) else 3)
    return {**fields, "paths": tuple(kept), "limit": limit}
