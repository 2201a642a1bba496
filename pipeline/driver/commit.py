"""Finishing a node: the law is checked, figures are drawn, the manifest is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node, Phase, RowPhase, ShardPhase
from pipeline.driver.drift import NOTE, CodeIdentity, as_seen, code_of
from pipeline.driver.ledger import Ledger
from pipeline.errors import DataError, SourceError, StoreError
from pipeline.files.faults import point
from pipeline.results import withdrawal
from pipeline.results.lease import Leases
from pipeline.results.receipts import ROWS_LAW, Summary, check_law
from pipeline.results.seen_receipts import outdated
from pipeline.worker.context import TaskContext
from pipeline.worker.pieces import pieces_folder

FORMAT = 2
FIGURES_LIMIT = 256 * 1024
SKEWED = 100  # a histogram whose bars differ by more is drawn with a logarithmic axis, or its tail cannot be seen


def stale_keys(state: Ledger, node: Node, keys: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(phase, key) of receipts that read something which has other bytes now.

    What the tasks of this driver have read is as they read it: their inputs were finished before they began.
    """
    folder, stale = state.folder(node), set[tuple[str, str]]()
    for phase, names in keys.items():
        before = [key for key in names if not state.known.is_returned(folder, phase, key)]
        stale |= outdated(state.known, state.receipts(node, phase, before))
    return sorted(stale)


def withdraw(state: Ledger, node: Node, tasks: Sequence[tuple[str, str]]) -> None:
    """Make tasks due again."""
    withdrawal.withdraw(state.store, state.folder(node), tasks)
    state.reopen(node)


def finish(state: Ledger, node: Node, keys: Mapping[str, Sequence[str]], leases: Leases, stop_name: str) -> str | None:
    """Check, draw and commit a node whose every key has a receipt. Return what its owner should know of it."""
    folder, name = state.folder(node), state.graph.names[node]
    sums = {phase: Summary.of(state.receipts(node, phase, names)) for phase, names in keys.items()}
    counts = {phase: found.counts for phase, found in sums.items()}
    for phase in state.graph.phases(node):
        law = ROWS_LAW if isinstance(phase, RowPhase) else phase.law
        if law is not None:
            check_law(law, counts[phase.name], f"{name}.{phase.name}")
    row_phase = state.graph.row_phase(node)
    if row_phase is not None and not node.allow_empty:
        _require_kept(name, counts[row_phase.name])
    if node.new_base is not None and not state.graph.stream_inputs(node):
        _require_rows(state, node, sums[node.new_base])
    context = TaskContext(state.binding(node, dict(keys), stop_name, 1), "figures", "all")
    figures = identity.canonical_json([*_histograms(node, sums.values()), *node.figures(context)])
    if len(figures) > FIGURES_LIMIT:
        raise DataError(f"{name}.figures", f"{len(figures)} bytes", f"at most {FIGURES_LIMIT}")
    manifest = _manifest(state, node, keys, sums) | {
        "rules": {phase.name: rule_of(state, node, phase, context) for phase in state.graph.phases(node)},
        "figures": hashlib.sha256(figures).hexdigest(),
    }
    leases.check(folder)
    point(folder, "before-manifest")
    state.store.write(f"{folder}/figures.json", figures)
    state.store.write(f"{folder}/manifest.json", identity.canonical_json(manifest))
    point(folder, "after-manifest")
    state.store.delete(pieces_folder(folder))  # those of workers that were killed between a receipt and its pieces
    state.reopen(node)
    return None if row_phase is None else _unscored(node, name, sums[row_phase.name])


def _unscored(node: Node, name: str, found: Summary) -> str | None:
    """Return that a node has scored nothing, which is a column of another name more often than not."""
    if not found.counts.get("alive_in") or not found.histograms or any(map(any, found.histograms.values())):
        return None
    needs = [column for column in getattr(node, "needs", ()) if column != "text"]
    return f"{name}: not one of {found.counts['alive_in']:,} documents has a score" + (
        f"; is {' or '.join(needs)} null in all of them?" if needs else ""
    )


def require_kept(state: Ledger) -> None:
    """Raise StoreError where nodes are gone that were finished when they were looked at."""
    gone = [node for node in state.graph.nodes if state.store.size(f"{state.folder(node)}/manifest.json") is None]
    if gone:
        names = ", ".join(state.graph.names[node] for node in gone)
        raise StoreError(
            f"store {state.store}", f"the results of {names} were removed while this run was at work",
            "a store that keeps them", "run again, and forget no run that is at work",
        )  # fmt: skip


def _manifest(
    state: Ledger, node: Node, keys: Mapping[str, Sequence[str]], sums: Mapping[str, Summary]
) -> dict[str, Any]:
    """What readers need to know of a node without its class, as far as its graph and its receipts say it."""
    row_phase = state.graph.row_phase(node)
    return {
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
        "original": node.original_column(),
        "changes_text": bool(getattr(node, "changes_text", False)),
        "new_base": node.new_base,
        "made": list(node.made),
        "becomes": node.becomes,
        "base_columns": state.graph.base_columns(node) if node.new_base else {},
        "scores": {
            state.place(base).short[:8]: state.score_rule(node, base) for base in state.graph.input_chains(node)
        },
        "takes": {phase: found.takes for phase, found in sums.items() if found.takes},
        **_made_by(state, node),
        "phases": {phase: list(names) for phase, names in keys.items()},
        "counts": {phase: found.counts for phase, found in sums.items()},
        "bytes": sum(size for found in sums.values() for size in found.sizes.values()),
        "files": {phase: found.sizes for phase, found in sums.items()},
        "shards": sums[node.new_base].shards if node.new_base else {},
    }


def _made_by(state: Ledger, node: Node) -> dict[str, Any]:
    """Return the code that made the node, and whether it was one from the first task to the last."""
    now, noted = code_of(node), state.store.read(f"{state.folder(node)}/{NOTE}")
    began = now if noted is None else CodeIdentity.from_bytes(noted)
    return {"code": now.digest, "libraries": now.libraries, "mixed": began != now or not as_seen(node)}


def rule_of(state: Ledger, node: Node, phase: Phase, context: TaskContext) -> str | None:
    """Return the rule of a phase, with what its tasks take from beyond their shards as it is here."""
    rule = state.rule(node, phase)
    if rule is None or not isinstance(phase, ShardPhase) or phase.whole is None:
        return rule
    whole = identity.canonical(phase.whole(context), lambda node: None, f"{phase.name}.whole")
    return rule if whole is None else identity.digest([rule, whole])


def _require_rows(state: Ledger, node: Node, found: Summary) -> None:
    """A base without a single row is a mistake somewhere before us, and every later node would hide it."""
    if any(shard["rows"] for shards in found.shards.values() for shard in shards):
        return
    files = sum(len(group) for group in state.sources(node).values())
    rejected = {name: number for name, number in found.counts.items() if name.startswith("rejected.") and number}
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


def _listed(state: Ledger, node: Node) -> dict[str, Any]:
    return {
        field: identity.source_form(node, field, [s.name for s in sources], [s.digest for s in sources])
        for field, sources in state.sources(node).items()
    }


def _histograms(node: Node, sums: Collection[Summary]) -> list[dict[str, Any]]:
    """Histograms that the engine counted for a row node, one figure a column."""
    figures = []
    for column, (low, high, bins, *limits) in getattr(node, "histograms", {}).items():
        counts, removed = (
            next((found[column] for found in facts if column in found), [0] * bins)
            for facts in ([each.histograms for each in sums], [each.removed_histograms for each in sums])
        )
        figures.append(
            {
                "kind": "histogram",
                "section": "scores",
                "about": "How the documents scored, and where the line was drawn. Outer bars hold what lies beyond.",
                "title": f"{column} ({node.kind()})",
                "x": column,
                "edges": [low + (high - low) * i / bins for i in range(bins + 1)],
                "counts": counts,
                "removed": removed,
                "log_y": max(counts) > SKEWED * min((count for count in counts if count), default=1),
                "marks": [{"x": limit, "label": name} for name in limits if (limit := getattr(node, name)) is not None],
            }
        )
    return figures
