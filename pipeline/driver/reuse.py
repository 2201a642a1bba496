"""What another finished node has done already: scores to copy, phases to link. Reuse changes cost, never bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.contract import Node, Phase, RowNode
from pipeline.driver.drift import code_hash
from pipeline.fingerprint import canonical_json
from pipeline.store.json_files import read_json
from pipeline.store.ledger import Ledger
from pipeline.store.receipts import Receipt, data_name, read_receipt, receipt_name
from pipeline.worker.passes import reusable


def siblings(state: Ledger, node: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    """(folder, manifest) of the other finished nodes of this kind in the store that the code of now has made."""
    own, code = state.folder(node), code_hash(type(node), node.code())
    for name in state.store.names("nodes"):
        folder = f"nodes/{name}"
        if name.rpartition("-")[0] == node.kind() and folder != own:
            manifest = read_json(state.store, f"{folder}/manifest.json", "siftloom verify, then siftloom run")
            if manifest is not None and manifest["code"] == code:
                yield folder, manifest


def known_scores(state: Ledger, node: RowNode) -> dict[str, tuple[str, str]]:
    """Shard name -> (folder, phase) of a finished side-car with the node's score key."""
    if not reusable(node) or not node.adds():
        return {}
    key, phase = state.score_key(node), state.link(node).phase
    found: dict[str, tuple[str, str]] = {}
    for folder, manifest in siblings(state, node):
        if manifest["score_key"] == key:
            found |= {name: (folder, phase) for name in manifest["phases"].get(phase, ())}
    return found


def link_finished_phase(state: Ledger, node: Node, phase: Phase) -> int:
    """Link the phase's files and receipts from a node that finished the same one; how many tasks that saved."""
    if phase.fields is None or state.done(node, phase.name):
        return 0
    key = state.phase_keys(node).get(phase.name)
    if key is None:
        return 0
    folder = state.folder(node)
    for donor, manifest in siblings(state, node):
        if manifest["phase_keys"].get(phase.name) != key:
            continue
        linked = 0
        for task in manifest["phases"][phase.name]:
            receipt = read_receipt(state.store, donor, phase.name, task)
            if receipt is None:
                continue
            for file in receipt.files:
                state.store.link(data_name(donor, phase.name, file), data_name(folder, phase.name, file))
            # What the task read of its own node is read here of this one: linked phases have equal bytes.
            short, own = donor.removeprefix("nodes/"), folder.removeprefix("nodes/")
            form = receipt.form()
            form["reads"] = sorted([own if read[0] == short else read[0], *read[1:]] for read in form["reads"])
            state.store.write(receipt_name(folder, phase.name, task), canonical_json(form))
            state.note(node, Receipt(**form))
            linked += 1
        return linked
    return 0
