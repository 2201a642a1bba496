"""What a run is called and what it consists of: `runs/<name>/run.json`.

Names are labels and never enter identity. A run's name stands for one recipe; another recipe under the same name
becomes `name@2`, so that the first can still be compared with it.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from pipeline.errors import StoreError
from pipeline.files.json_files import read_json
from pipeline.files.objects import Store

FOLDER = re.compile(r"nodes/\w+-[0-9a-f]{12}")


def read_run(store: Store, name: str) -> dict[str, Any] | None:
    """The record of a run, None where there is none. Raises StoreError for a damaged one."""
    file, then = f"runs/{name}/run.json", "remove the file, then run the recipe again: the results are kept"
    record = read_json(store, file, then)
    if record is not None and not _is_record(record):
        raise StoreError(store.uri(file), "no record of a run", "the JSON that a run wrote", then)
    return record


def _is_record(record: Any) -> bool:
    """Return whether a record names nodes, in folders of this store only. The store may be somebody else's."""
    nodes = record.get("nodes") if isinstance(record, dict) else None
    return isinstance(nodes, dict) and all(
        isinstance(entry, dict) and FOLDER.fullmatch(str(entry.get("folder"))) for entry in nodes.values()
    )


def run_names(store: Store, name: str) -> list[str]:
    """Return those of `name`, `name@2`, ... that exist, oldest first; some may have been removed."""
    labels = [label for label in store.names("runs") if re.fullmatch(rf"{re.escape(name)}(@\d+)?", label)]
    known = [label for label in labels if store.size(f"runs/{label}/run.json") is not None]
    return sorted(known, key=number_of)


def number_of(label: str) -> int:
    _, _, number = label.rpartition("@")
    return int(number) if number.isdigit() else 1


def resolve(store: Store, name: str) -> str | None:
    """Return the run that a name means, or None. `name@2` is that run, `name@1` the first, `name` the newest."""
    plain, _, number = name.rpartition("@")
    if plain and number.isdigit():
        label = plain if number == "1" else name
        return None if read_run(store, label) is None else label
    names = run_names(store, name)
    return names[-1] if names else None


def latest_run(store: Store, name: str) -> dict[str, Any] | None:
    """Return the newest record under a name that has nodes. A label that was only just taken has none yet."""
    records = (read_run(store, label) for label in reversed(run_names(store, name)))
    return next((record for record in records if record and record["nodes"]), None)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of installed packages, by name."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
