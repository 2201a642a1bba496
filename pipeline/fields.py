"""What a field of a node is to its identity. Stages take these from `pipeline.contract`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any


def threshold(default: Any) -> Any:
    """A field that only `decide` reads. It is in a node's identity but not in the rule of its scores."""
    return field(default=default, metadata={"role": "threshold"})


def runtime(default: Any) -> Any:
    """A field that cannot change any byte of the output (workers, intervals, guards): never part of the identity."""
    return field(default=default, metadata={"role": "runtime"})


def sources(
    default: Any = dataclasses.MISSING, schemes: Mapping[str, Callable[[str], Sequence[str]]] | None = None
) -> Any:
    """A field of paths or globs: the identity holds the digests of the files instead of their names.

    `schemes`: the word before `://` of paths of the node's own -> a function from the rest to local paths.
    """
    return field(default=default, metadata={"role": "sources", "schemes": schemes or {}})


def file(default: Any = dataclasses.MISSING) -> Any:
    """A field with the path of one file; `sources` has many. Every file that a node reads must stand in such a field,
    so that its bytes and not its name are in the identity. An empty path is no file.
    """
    return field(default=default, metadata={"role": "sources", "schemes": {}, "one": True})


def target(default: Any = None) -> Any:
    """A field that names a place outside the store to write to: a path, relative to the recipe, or a URI."""
    return field(default=default, metadata={"role": "target"})


def reach(default: Any) -> Any:
    """A field, such as a limit, that says which tasks there are and never what one makes. Needs `content_keys`."""
    return field(default=default, metadata={"role": "reach"})
