"""One document's way through a run: what `siftloom why` prints.

The engine knows every row phase and its reasons; this adds what only the stages know: the copies that a dedup removed
for it, the trainers that were given it, its packed rows, and the training steps that held those rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.run import NodeView, Run

TRAINERS = ("tokenizer", "train_quality")


def way(run: Run, document: str) -> list[dict[str, Any]]:
    """Steps in order, each with `node`, `kind`, `state`, and what else the node has to say."""
    steps = run.why(document)
    base, shard, row = run.find(document)
    name = steps[0]["columns"].get("id", document)
    alive = {step["node"] for step in steps if step["state"] in ("read", "kept")}
    held_out = any(step["columns"].get("held_out") is True for step in steps if step["node"] in alive)
    for step in steps:
        if step["kind"].endswith("_dedup") and step["state"] == "kept":
            step["copies"] = _copies(run[step["node"]], name)
    packed: dict[str, list[int]] = {}
    for view in run.nodes:
        if not view.finished:
            continue
        if view.kind in TRAINERS and base.fingerprint in _bases(run, view):
            given = bool(alive & {run.label_of(parent) for parent in _inputs(view)}) and not held_out
            steps.append({"node": view.label, "kind": view.kind, "state": "given" if given else "not given"})
        elif view.kind == "pack" and base.fingerprint in _bases(run, view):
            from stages.tokens.rows import rows_of_document

            meta = view.path("meta", "all", ".json")
            rows = packed[view.fingerprint] = rows_of_document(meta, shard.shard.base, shard.shard.key, row)
            steps.append(
                {"node": view.label, "kind": view.kind, "state": "packed" if rows else "not packed", "rows": rows}
            )
        elif view.kind == "pretrain" and (read := [f for f in _inputs(view) if f in packed]):
            seen = sorted({step for source in read for step in _steps(view, source, packed[source])})
            steps.append(
                {"node": view.label, "kind": view.kind, "state": "seen" if seen else "not seen", "steps": seen}
            )
    return steps


def _steps(view: NodeView, source: str, rows: list[int]) -> list[int]:
    from stages.training.results import steps_of_row

    config = view.path("train", "all", "/config.json")
    return [step for row in rows for step in steps_of_row(config, source, row)]


def _inputs(view: NodeView) -> list[str]:
    return [parent for parents in view.manifest["inputs"].values() for parent in parents]


def _bases(run: Run, view: NodeView) -> set[str]:
    """Fingerprints of all that a node depends on, itself included."""
    known = {other.fingerprint: other for other in run.nodes if other.finished}
    found, todo = set(), [view.fingerprint]
    while todo:
        fingerprint = todo.pop()
        if fingerprint not in found and fingerprint in known:
            found.add(fingerprint)
            todo += _inputs(known[fingerprint])
    return found


def _copies(view: NodeView, document: str) -> list[str]:
    """Ids of the documents that a dedup removed as copies of this one."""
    import pyarrow.compute as pc

    removed = view.removed(own=True)
    return removed.filter(pc.equal(removed["duplicate_of"], document))["id"].to_pylist()
