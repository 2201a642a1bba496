"""What a run is called and what it consists of: `runs/<name>/run.json`.

Names are labels and never enter identity. A run's name stands for one recipe; another recipe under the same name
becomes `name@2`, so that the first can still be compared with it.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node
from pipeline.errors import RecipeError, StoreError
from pipeline.files.address import masked_in
from pipeline.graph import Graph
from pipeline.recipe.read import NAME
from pipeline.store.json_files import read_json
from pipeline.store.lease import Leases
from pipeline.store.ledger import Ledger
from pipeline.store.objects import Store

FOLDER = re.compile(r"nodes/\w+-[0-9a-f]{12}")


def graph_form(graph: Graph) -> dict[str, Any]:
    """Label -> configuration, with inputs by label and sources by path: what makes two recipes the same. It is shown,
    so URIs hold no secrets.
    """

    def label(node: Node) -> str:
        return graph.names[node]

    return {graph.names[node]: masked_in(identity.node_form(node, label, {})) for node in graph.nodes}


def read_run(store: Store, name: str) -> dict[str, Any] | None:
    """The record of a run, None where there is none. Raises StoreError for a damaged one."""
    file, then = f"runs/{name}/run.json", "remove the file, then run the recipe again: the results are kept"
    record = read_json(store, file, then)
    if record is not None and not _is_record(record):
        raise StoreError(store.uri(file), "no record of a run", "the JSON that a run wrote", then)
    return record


def _is_record(record: Any) -> bool:
    """Whether it names nodes, and folders of the store only: a store may be somebody else's."""
    nodes = record.get("nodes") if isinstance(record, dict) else None
    return isinstance(nodes, dict) and all(
        isinstance(entry, dict) and FOLDER.fullmatch(str(entry.get("folder"))) for entry in nodes.values()
    )


def run_names(store: Store, name: str) -> list[str]:
    """Return those of `name`, `name@2`, ... that exist, oldest first; some may have been removed."""
    labels = [label for label in store.names("runs") if re.fullmatch(rf"{re.escape(name)}(@\d+)?", label)]
    known = [label for label in labels if store.size(f"runs/{label}/run.json") is not None]
    return sorted(known, key=_number)


def _number(label: str) -> int:
    _, _, number = label.rpartition("@")
    return int(number) if number.isdigit() else 1


def resolve(store: Store, name: str) -> str | None:
    """The run that a name means, None where there is none: `name@2` that one, `name@1` the first, `name` the newest."""
    plain, _, number = name.rpartition("@")
    if plain and number.isdigit():
        label = plain if number == "1" else name
        return None if read_run(store, label) is None else label
    names = run_names(store, name)
    return names[-1] if names else None


def latest_run(store: Store, name: str) -> dict[str, Any] | None:
    """The newest record under a name that names nodes: a label that was just taken does not yet."""
    records = (read_run(store, label) for label in reversed(run_names(store, name)))
    return next((record for record in records if record and record["nodes"]), None)


def claim_name(store: Store, leases: Leases, name: str, graph: Graph) -> str:
    """The label that this recipe runs under: an existing one if its run holds the same nodes, else a new one, which is
    taken for this recipe by a record without nodes. Of two recipes that begin at once, one chooses first.

    Raises RecipeError for a name that is no folder of `runs`.
    """
    if not NAME.fullmatch(name):
        raise RecipeError("name of the run", f"{name!r}", "letters, digits, '_', '-' and '.'")
    with leases.turn(f"runs/{name}"):
        label = _choose(store, name, form := graph_form(graph))
        if read_run(store, label) is None:
            _write(store, label, {"name": label, "nodes": {}, "form": form})
        return label


def _choose(store: Store, name: str, form: Mapping[str, Any]) -> str:
    names = run_names(store, name)
    for label in reversed(names):
        record = read_run(store, label) or {}
        known = record.get("form", {})
        if all(known[key] == form[key] for key in known.keys() & form.keys()) and known.keys() & form.keys():
            return label
    return name if not names else f"{name}@{_number(names[-1]) + 1}"


def write_run(leases: Leases, name: str, ledger: Ledger, recipe: str | None, packages: Iterable[str] = ()) -> None:
    """Record which nodes a run consists of, and the versions of `packages`; a part of a recipe joins what is recorded
    already.
    """
    with leases.turn(f"runs/{name.partition('@')[0]}"):
        _write(ledger.store, name, _joined(name, ledger, recipe, packages))


def _write(store: Store, name: str, record: Mapping[str, Any]) -> None:
    store.write(f"runs/{name}/run.json", json.dumps(record, indent=1).encode())


def _joined(name: str, ledger: Ledger, recipe: str | None, packages: Iterable[str]) -> dict[str, Any]:
    graph, known = ledger.graph, read_run(ledger.store, name) or {}
    nodes = {
        graph.names[node]: {"kind": node.kind(), "fingerprint": ledger.fingerprint(node), "folder": ledger.folder(node)}
        for node in graph.nodes
    }
    sources = [
        {"index": s.index, "name": s.name, "path": s.path.plain(), "size": s.size, "digest": s.digest, "stamp": s.stamp}
        for node in graph.nodes for group in ledger.sources(node).values() for s in group
    ]  # fmt: skip
    digests = {source["digest"] for source in sources}
    known_sources = [source for source in known.get("sources", ()) if source["digest"] not in digests]
    return {
        "name": name,
        "sources": known_sources + sources,
        "nodes": {**known.get("nodes", {}), **nodes},
        "form": {**known.get("form", {}), **graph_form(graph)},
        "targets": sorted({*known.get("targets", ()), *(graph.names[node] for node in graph.targets)}),
        "recipe": masked_in(recipe) if recipe is not None else known.get("recipe"),
        "versions": versions(packages),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of installed packages, by name."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
