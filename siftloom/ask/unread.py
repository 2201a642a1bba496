"""Files that lie beside those of a recipe, in a format that `read` knows, and that no node reads."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from pipeline.errors import SourceError
from pipeline.files.address import Address
from pipeline.files.sources import expand

if TYPE_CHECKING:
    from pipeline.graph import Graph

MOST = 100_000  # files that are looked at


def unread(graph: Graph, store: Address) -> list[str]:
    """Return their paths, those that `exclude` names apart. It looks into folders that globs and folders of `read`
    name, on this machine; not into the store, nor into what a node writes.
    """
    from stages.read.layout import format_of

    folders: set[str] = set()
    taken: set[str] = set()
    excluded: list[str] = []
    made = {os.path.abspath(store.reveal())} if not store.remote else set()
    for node in graph.nodes:
        if to := getattr(node, "to", None):
            made.add(os.path.abspath(to))
        if node.kind() != "read":
            continue
        paths = getattr(node, "paths")  # noqa: B009  of `read`, which this room does not import
        excluded += getattr(node, "exclude", ())
        for path in (paths,) if isinstance(paths, str) else paths:
            if "://" not in path:
                taken |= _named(path)
                folders |= _folder(path)
    found = (name for folder in sorted(folders) for name in _files(folder, made))
    names = (name for name in islice(found, MOST) if name not in taken and format_of(name) is not None)
    return sorted({os.path.relpath(name) for name in names if not _matches(name, excluded)})


def _named(path: str) -> set[str]:
    try:
        return {
            os.path.abspath(entry.path) for entry in expand(path, "plan", unusable=lambda name, error: None).entries
        }
    except SourceError:
        return set()


def _folder(path: str) -> set[str]:
    """Return the folder that a folder or a glob names; a file names itself alone."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        return {os.path.abspath(path)}
    parts = Path(os.path.abspath(path)).parts
    magic = next((at for at, part in enumerate(parts) if glob.has_magic(part)), None)
    return set() if magic is None or os.path.lexists(path) else {str(Path(*parts[:magic]))}


def _files(folder: str, made: set[str]) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and os.path.join(top, each) not in made
        )
        yield from (os.path.join(top, name) for name in sorted(names) if not name.startswith("."))


def _matches(name: str, excluded: Sequence[str]) -> bool:
    return any(PurePath(name).match(os.path.normpath(pattern)) for pattern in excluded)
