"""Trace one document through every node of a run: what `siftloom why` prints.

The engine reads the scores, the reason and the duplicates of every row phase from the store; what only a node knows
(packed rows, training steps) its class explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contract import DocumentRow
from siftloom.vocabulary import vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.run import StoredNode, StoredRun

Explanation = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A finished node that is asked about a document (`pipeline.contract.FinishedNode`)."""

    view: StoredNode
    reached: bool
    inputs: Mapping[str, Explanation]

    def path(self, phase: str, key: str, ext: str) -> Path:
        return self.view.path(phase, key, ext)

    def removed(self) -> pa.Table:
        return self.view.removed(own=True)


def trace(run: StoredRun, document: str) -> list[dict[str, Any]]:
    """Return the steps in order, each with `node`, `kind`, `state`, and what else the node says."""
    steps = run.why(document)
    base, shard, row = run.find(document)
    kept = [step for step in steps if step["state"] in ("read", "kept")]
    columns = {name: value for step in kept for name, value in step["columns"].items()}
    place = DocumentRow(columns.get("id", document), shard.shard, row, columns)
    by_node = {step["node"]: step for step in steps}
    explained: dict[str, Explanation] = {}
    for view in run.nodes:
        step = by_node.get(view.label)
        if not view.finished or view.kind not in vocabulary().nodes or base.fingerprint not in _ancestors(run, view):
            continue
        if step is not None and step not in kept:
            continue
        inputs = set(_inputs(view))
        asked = Asked(
            view,
            reached=any(run.label_of(parent) in {step["node"] for step in kept} for parent in inputs),
            inputs={parent: explained[parent] for parent in inputs if parent in explained},
        )
        found = vocabulary().node(view.kind).explain(asked, place)
        if found:
            explained[view.fingerprint] = found
            if step is None:
                steps.append({"node": view.label, "kind": view.kind, **found})
            else:
                step.update(found)
    return steps


def _inputs(view: StoredNode) -> Iterator[str]:
    for parents in view.manifest["inputs"].values():
        yield from parents


def _ancestors(run: StoredRun, view: StoredNode) -> set[str]:
    """Return the fingerprints of all that a node depends on, its own included."""
    known = {other.fingerprint: other for other in run.nodes if other.finished}
    found, todo = set(), [view.fingerprint]
    while todo:
        fingerprint = todo.pop()
        if fingerprint not in found and fingerprint in known:
            found.add(fingerprint)
            todo += _inputs(known[fingerprint])
    return found
