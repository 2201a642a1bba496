"""What a run is called and what it consists of: `runs/<name>/run.json`.

Names are labels and never enter identity. A run's name stands for one recipe; another recipe under the same name
becomes `name@2`, so that the first can still be compared with it.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node
from pipeline.graph import Graph
from pipeline.store.objects import Store
from pipeline.store.state import State

PACKAGES = ("ray", "torch", "pyarrow", "numpy", "numba", "datasketch", "tokenizers", "kitoken", "fasttext-community")


def graph_form(graph: Graph) -> dict[str, Any]:
    """Label -> configuration, with inputs by label and sources by path: what makes two recipes the same."""

    def label(node: Node) -> str:
        return graph.names[node]

    return {graph.names[node]: identity.node_form(node, label, {}) for node in graph.nodes}


def read_run(store: Store, name: str) -> dict[str, Any] | None:
    data = store.read(f"runs/{name}/run.json")
    return None if data is None else json.loads(data)


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
    """The newest record under a name."""
    names = run_names(store, name)
    return read_run(store, names[-1]) if names else None


def choose_name(store: Store, name: str, graph: Graph) -> str:
    """The label that this recipe runs under: an existing one if it holds the same nodes, else a new one."""
    form = graph_form(graph)
    names = run_names(store, name)
    for label in reversed(names):
        record = read_run(store, label) or {}
        known = record.get("form", {})
        if all(known[key] == form[key] for key in known.keys() & form.keys()) and known.keys() & form.keys():
            return label
    return name if not names else f"{name}@{_number(names[-1]) + 1}"


def write_run(store: Store, name: str, graph: Graph, state: State, recipe: str | None) -> None:
    """Record which nodes a run consists of; a part of a recipe joins what is recorded already."""
    known = read_run(store, name) or {}
    nodes = {
        graph.names[node]: {"kind": node.kind(), "fingerprint": state.fingerprint(node), "folder": state.folder(node)}
        for node in graph.nodes
    }
    sources = [
        {"index": s.index, "name": s.name, "path": s.path, "size": s.size, "digest": s.digest, "stamp": s.stamp}
        for node in graph.nodes for group in state.sources(node).values() for s in group
    ]  # fmt: skip
    known_sources = [s for s in known.get("sources", ()) if s["digest"] not in {fresh["digest"] for fresh in sources}]
    record = {
        "name": name,
        "sources": known_sources + sources,
        "nodes": {**known.get("nodes", {}), **nodes},
        "form": {**known.get("form", {}), **graph_form(graph)},
        "targets": sorted({*known.get("targets", ()), *(graph.names[node] for node in graph.targets)}),
        "recipe": recipe if recipe is not None else known.get("recipe"),
        "versions": versions(),
    }
    store.write(f"runs/{name}/run.json", json.dumps(record, indent=1).encode())


def versions() -> Mapping[str, str]:
    """Library versions that bytes may hang on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = _version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _version(package: str) -> str:
    """As `metadata.version` says it, without parsing the fields and the description behind it where that can be."""
    lines = (metadata.distribution(package).read_text("METADATA") or "").splitlines()
    found = (line.removeprefix("Version: ") for line in lines if line.startswith("Version: "))
    return next(found, None) or metadata.version(package)  # an egg keeps it elsewhere
