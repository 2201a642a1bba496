"""Finishing a node: the law is checked, figures are drawn, the manifest is written last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node, RowPhase
from pipeline.driver.drift import code_hash
from pipeline.errors import DataError, SourceError
from pipeline.store.faults import point
from pipeline.store.lease import Leases
from pipeline.store.receipts import ROWS_LAW, Receipt, check_law, read_receipt, receipt_name, totals
from pipeline.store.state import State
from pipeline.worker.context import TaskContext
from pipeline.worker.passes import reusable
from pipeline.worker.pieces import pieces_folder

FORMAT = 1
FIGURES_LIMIT = 256 * 1024


def stale_keys(state: State, node: Node, keys: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(phase, key) of receipts that read something which has other bytes now."""
    known: dict[tuple[str, str, str], str | None] = {}
    stale = []
    for phase, names in keys.items():
        for receipt in state.receipts(node, phase, names):
            for folder, read_phase, read_key, digest in receipt.reads:
                name = (f"nodes/{folder}", read_phase, read_key)
                if name not in known:
                    found = read_receipt(state.store, *name)
                    known[name] = None if found is None else found.digest
                if known[name] != digest:
                    stale.append((phase, receipt.key))
                    break
    return stale


def withdraw(state: State, node: Node, tasks: Sequence[tuple[str, str]]) -> None:
    """Make tasks due again: the manifest goes first, so that nobody reads a node with a hole."""
    folder = state.folder(node)
    state.store.delete(f"{folder}/manifest.json")
    for phase, key in tasks:
        state.store.delete(receipt_name(folder, phase, key))
    state.reopen(node)


def finish(
    state: State, node: Node, keys: Mapping[str, Sequence[str]], leases: Leases, stop_name: str
) -> dict[str, Any]:
    """Check, draw and commit a node whose every key has a receipt; returns the manifest."""
    folder, name = state.folder(node), state.graph.names[node]
    receipts = {phase: state.receipts(node, phase, names) for phase, names in keys.items()}
    counts = {phase: totals(found) for phase, found in receipts.items()}
    for phase in state.graph.phases(node):
        law = ROWS_LAW if isinstance(phase, RowPhase) else phase.law
        if law is not None:
            check_law(law, counts[phase.name], f"{name}.{phase.name}")
    row_phase = state.graph.row_phase(node)
    if row_phase is not None and not node.allow_empty:
        _require_kept(name, counts[row_phase.name])
    if node.new_base is not None and not state.graph.stream_inputs(node):
        _require_rows(state, node, receipts[node.new_base], counts[node.new_base])
    context = TaskContext(state.binding(node, dict(keys), stop_name, 1), "figures", "all")
    figures = identity.canonical_json([*_histograms(node, receipts), *node.figures(context)])
    if len(figures) > FIGURES_LIMIT:
        raise DataError(f"{name}.figures", f"{len(figures)} bytes", f"at most {FIGURES_LIMIT}")
    manifest = {
        "format": FORMAT,
        "kind": node.kind(),
        "version": node.version,
        "fingerprint": state.fingerprint(node),
        "fields": identity.node_form(node, state.fingerprint, _listed(state, node))["fields"],
        "inputs": {
            field: [state.fingerprint(parent) for f, _, parent in state.graph.inputs(node) if f == field]
            for field in dict.fromkeys(field for field, _, _ in state.graph.inputs(node))
        },
        "reasons": list(node.all_reasons()),
        "adds": dict(node.adds()) if node.new_base is None else {},
        "stream": node.stream,
        "row_phase": row_phase.name if row_phase else None,
        "changes_text": bool(getattr(node, "changes_text", False)),
        "new_base": node.new_base,
        "base_columns": state.graph.base_columns(node) if node.new_base else {},
        "score_key": state.score_key(node) if reusable(node) else None,
        "phase_keys": state.phase_keys(node),
        "code": code_hash(type(node)),
        "phases": {phase: list(names) for phase, names in keys.items()},
        "counts": counts,
        "bytes": sum(entry["size"] for found in receipts.values() for r in found for entry in r.files.values()),
        "files": {
            phase: {file: entry["size"] for r in found for file, entry in sorted(r.files.items())}
            for phase, found in receipts.items()
        },
        "shards": {
            r.key: list(r.facts["shards"]) for r in receipts.get(node.new_base or "", ()) if "shards" in r.facts
        },
    }
    leases.check(folder)
    point(folder, "before-manifest")
    state.store.write(f"{folder}/figures.json", figures)
    state.store.write(f"{folder}/manifest.json", identity.canonical_json(manifest))
    point(folder, "after-manifest")
    state.store.delete(pieces_folder(folder))  # those of workers that were killed between a receipt and its pieces
    state.reopen(node)
    return manifest


def _require_rows(state: State, node: Node, receipts: Sequence[Receipt], counts: Mapping[str, int]) -> None:
    """A base without a single row is a mistake somewhere before us, and every later node would hide it."""
    if any(shard["rows"] for receipt in receipts for shard in receipt.facts.get("shards", ())):
        return
    files = sum(len(group) for group in state.sources(node).values())
    rejected = {name: number for name, number in counts.items() if name.startswith("rejected.") and number}
    why = f" (rejected: {rejected})" if rejected else ""
    raise SourceError(
        state.graph.names[node],
        f"not one document in {files} files{why}",
        "documents in the field that `text` names",
        f"the rejected rows are in {state.store.uri(state.folder(node))}/data",
    )


def _require_kept(name: str, counts: Mapping[str, int]) -> None:
    """Nothing kept of something is hardly ever what was wanted: a threshold, a language or a column is wrong."""
    if not counts.get("alive_in") or counts.get("alive_out"):
        return
    reasons = sorted((-number, reason) for reason, number in counts.items() if reason.startswith("removed.") and number)
    why = ", ".join(f"{reason.partition('.')[2]} {-number:,}" for number, reason in reasons[:5])
    raise DataError(
        name, f"all {counts['alive_in']:,} documents were removed ({why})", "at least one that stays",
        "change the node's fields, or set `allow_empty: true` if that is right",
    )  # fmt: skip


def _listed(state: State, node: Node) -> dict[str, Any]:
    return {field: [s.digest for s in sources] for field, sources in state.sources(node).items()}


def _histograms(node: Node, receipts: Mapping[str, Sequence[Receipt]]) -> list[dict[str, Any]]:
    """Histograms that the engine counted for a row node, one figure a column."""
    figures = []
    for column, (low, high, bins, *limit) in getattr(node, "histograms", {}).items():
        counts = [0] * bins
        for found in receipts.values():
            for receipt in found:
                for i, number in enumerate(receipt.facts.get("histograms", {}).get(column, ())):
                    counts[i] += number
        edges = [low + (high - low) * i / bins for i in range(bins + 1)]
        marks = [{"x": getattr(node, name), "label": name, "removed": "below"} for name in limit]
        figures.append(
            {
                "kind": "histogram",
                "section": "scores",
                "about": "How the documents scored, and where the line was drawn.",
                "title": f"{column} of the documents that {node.kind()} saw",
                "x": column,
                "edges": edges,
                "counts": counts,
                "marks": marks,
            }
        )
    return figures
