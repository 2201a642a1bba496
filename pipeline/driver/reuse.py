"""What another finished node has done already: scores to copy, phases to link. Reuse changes cost, never bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.contract import Node, Phase, RowNode
from pipeline.driver.drift import CodeIdentity, code_of
from pipeline.driver.ledger import Ledger
from pipeline.errors import DataError, StoreError
from pipeline.files.json_files import read_json
from pipeline.files.objects import Store
from pipeline.fingerprint import canonical_json
from pipeline.results.manifests import Manifest
from pipeline.results.receipts import Receipt, data_name, receipt_name
from pipeline.results.seen_receipts import AT_ONCE, outdated


def siblings(state: Ledger, node: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (folder, manifest) of the store's other finished nodes of this kind that today's code and libraries wrote.

    Those with a damaged manifest are left out: they may be of other runs, and nothing hangs on them here.
    """
    own, code = state.folder(node), code_of(node)
    for name in state.store.names("nodes"):
        folder = f"nodes/{name}"
        if name.rpartition("-")[0] == node.kind() and folder != own:
            try:
                manifest = read_json(state.store, f"{folder}/manifest.json", "siftloom verify, then siftloom run")
            except StoreError:
                continue
            if manifest is not None and CodeIdentity.of_manifest(manifest) == code:
                yield folder, manifest


def known_scores(state: Ledger, node: RowNode) -> dict[str, tuple[str, str, str]]:
    """Shard name -> (folder, phase, shard name there) of a finished side-car with the node's score key.

    Shards of two bases of one shape are the same where their keys are: their names differ in the base alone.
    """
    key, phase = state.score_key(node), state.link(node).phase
    if key is None or not (node.adds() or node.changes_text):
        return {}
    own = [base.shard.name for base in state.input_shards(node)]
    found: dict[str, tuple[str, str, str]] = {}
    for folder, manifest in siblings(state, node):
        if manifest["score_key"] == key:
            there = set(manifest["phases"].get(phase, ()))
            names = _base_names(state, node, manifest)
            for name in own:
                base, _, rest = name.partition("-")
                for theirs in (name, f"{names[base]}-{rest}" if base in names else name):
                    if theirs in there:
                        found[name] = (folder, phase, theirs)
    return found


def _base_names(state: Ledger, node: Node, manifest: Manifest) -> dict[str, str]:
    """First part of the names of shards here -> there, of the bases whose keys name content. Equal score keys name
    bases of equal shapes in one order; two of them may have shards of equal keys (one file, read for two fields).
    """
    try:
        theirs = state.manifests.input_chains(manifest)
    except (DataError, StoreError):  # a base there was cleaned away, or is damaged
        return {}
    pairs = zip(state.graph.input_chains(node), theirs, strict=True)
    return {state.place(base).short[:8]: their_base[:8] for base, their_base in pairs if base.content_keys}


def link_equal_tasks(state: Ledger, node: Node, phase: Phase, keys: Sequence[str]) -> int:
    """Link the tasks of a base's phase that a base of the same shape has finished under the same keys; how many."""
    due = set(keys) - state.done(node, phase.name)
    linked = 0
    if state.shape(node) is not None:
        for donor, manifest in siblings(state, node):
            if due and manifest.get("shape") == state.shape(node):
                found = [key for key in manifest["phases"].get(phase.name, ()) if key in due]
                linked += _link_tasks(state, node, donor, phase.name, found)
                due -= set(found)
    return linked


def link_finished_phase(state: Ledger, node: Node, phase: Phase) -> int:
    """Link the phase's files and receipts from a node that finished the same one; how many tasks that saved."""
    if phase.fields is None or state.done(node, phase.name):
        return 0
    key = state.phase_keys(node).get(phase.name)
    if key is None:
        return 0
    for donor, manifest in siblings(state, node):
        if manifest["phase_keys"].get(phase.name) == key:
            return _link_tasks(state, node, donor, phase.name, manifest["phases"][phase.name])
    return 0


def _link_tasks(state: Ledger, node: Node, donor: str, phase: str, tasks: Sequence[str]) -> int:
    """Take over tasks of another node: those that it still has whole, and that read what is there now. How many."""
    linked = 0
    for start in range(0, len(tasks), AT_ONCE):
        try:
            receipts = list(state.known.get(donor, phase, tasks[start : start + AT_ONCE]))
            old = outdated(state.known, receipts)
        except StoreError:  # a damaged receipt: of another run, perhaps, and this one can do without
            continue
        linked += sum(_link_task(state, node, donor, r) for r in receipts if (r.phase, r.key) not in old)
    return linked


def _link_task(state: Ledger, node: Node, donor: str, receipt: Receipt) -> bool:
    """Take over the files and the receipt of a task of another node; whether its files are there."""
    # What the task read of its own node is read here of this one: linked tasks have equal bytes.
    short, own = donor.removeprefix("nodes/"), state.folder(node).removeprefix("nodes/")
    reads = sorted([own if read[0] == short else read[0], *read[1:]] for read in receipt.reads)
    made = take_over(state.store, donor, receipt, state.folder(node), receipt.form() | {"reads": reads})
    if made is not None:
        state.note(node, made)
    return made is not None


def take_over(store: Store, donor: str, theirs: Receipt, folder: str, form: dict[str, Any]) -> Receipt | None:
    """Link the files of a task of another node and write its receipt here, as `form` says it; None where a file is not
    there whole, or is just being cleaned away.
    """
    made = Receipt(**form)
    for file, entry in theirs.files.items():
        source, own = data_name(donor, theirs.phase, file), made.key + file.removeprefix(theirs.key)
        if store.size(source) != entry["size"]:
            return None
        try:
            store.link(source, data_name(folder, made.phase, own))
        except FileNotFoundError:
            return None
    store.write(receipt_name(folder, made.phase, made.key), canonical_json(form))
    return made
