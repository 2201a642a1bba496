"""What a driver writes of a run: the name that it takes, and the nodes that the run consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node
from pipeline.driver.ledger import Ledger
from pipeline.driver.options import Options
from pipeline.errors import RecipeError
from pipeline.files.objects import Store
from pipeline.files.secrets import masked, masked_json
from pipeline.graph import Graph
from pipeline.recipe.read import NAME
from pipeline.results.lease import Leases
from pipeline.results.run_record import number_of, read_run, run_names, versions


def graph_form(graph: Graph) -> dict[str, Any]:
    """Label -> configuration, with inputs by label and sources by path: what makes two recipes the same. It is shown,
    so URIs hold no secrets.
    """

    def label(node: Node) -> str:
        return graph.names[node]

    return {graph.names[node]: masked(identity.node_form(node, label, {})) for node in graph.nodes}


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
    return name if not names else f"{name}@{number_of(names[-1]) + 1}"


def write_run(leases: Leases, name: str, ledger: Ledger, recipe: str | None, options: Options | None = None) -> None:
    """Record which nodes a run consists of, and what `options` names for its record; a part of a recipe joins what is
    recorded already.
    """
    with leases.turn(f"runs/{name.partition('@')[0]}"):
        _write(ledger.store, name, _joined(name, ledger, recipe, options or Options()))


def _write(store: Store, name: str, record: Mapping[str, Any]) -> None:
    store.write(f"runs/{name}/run.json", masked_json(record, indent=1).encode())


def _joined(name: str, ledger: Ledger, recipe: str | None, options: Options) -> dict[str, Any]:
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
        "recipe": recipe if recipe is not None else known.get("recipe"),
        "command": [*options.command] or known.get("command", []),
        "note": options.note if options.note is not None else known.get("note"),
        "versions": versions(options.packages),
    }
