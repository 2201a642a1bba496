"""Does the store still hold what its receipts say?

`verify` reads every file of every node of a run and compares size and SHA-256 with the receipt. A receipt whose files
are not what it says is withdrawn, the node's manifest first, so that `run` does those tasks again and whatever read
bytes that come out otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contract import Source
from pipeline.errors import SourceChanged
from pipeline.files.address import Address
from pipeline.files.objects import Store, sha256_of
from pipeline.files.open_store import open_store
from pipeline.files.sources import parse_digests, require_unchanged
from pipeline.results.lease import Leases
from pipeline.results.receipts import Receipt, data_name, receipt_name
from pipeline.results.withdrawal import withdraw
from pipeline.run import open_run


@dataclass(frozen=True)
class Finding:
    """Something that is not as its receipt says. `withdrawn`: the task is due again; else the reason why not."""

    node: str
    phase: str
    key: str
    file: str  # name in the store; the path of a source file
    found: str
    expected: str
    withdrawn: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.node} {self.phase}/{self.key}: {self.file}: {self.found}; expected {self.expected}"


def verify(store: str | Address, run: str) -> list[Finding]:
    """Everything in a run's nodes that its receipts do not vouch for; bad receipts are withdrawn."""
    opened, record = open_store(store), open_run(store, run).record
    found: list[Finding] = []
    leases = Leases(opened)
    try:
        for label, entry in record["nodes"].items():
            bad = list(_node(opened, label, entry["folder"]))
            found += _withdraw(opened, leases, entry["folder"], bad)
            for folder, others in _linked(opened, entry["folder"], bad):
                found += _withdraw(opened, leases, folder, others)
    finally:
        leases.close()
    return found + list(_digests(opened)) + list(_sources(opened, record))


def _node(store: Store, label: str, folder: str) -> Iterator[Finding]:
    name, manifest = f"{folder}/manifest.json", manifest_of(store, folder)
    if not manifest and store.size(name) is not None:
        # the receipts hold all of its content; the next run writes it anew
        yield Finding(label, "manifest", "", name, "a damaged file", "the JSON that a run wrote")
    if manifest:
        yield from _figures(store, label, folder, manifest["figures"])
    for phase, keys in (manifest["phases"] if manifest else _with_receipts(store, folder)).items():
        for key in keys:
            yield from _task(store, label, folder, phase, key)


def _task(store: Store, label: str, folder: str, phase: str, key: str) -> Iterator[Finding]:
    name = receipt_name(folder, phase, key)
    data = store.read(name)
    if data is None:
        yield Finding(label, phase, key, name, "no receipt", "the one that the manifest names")
        return
    try:
        receipt = Receipt.parse(data)
    except (ValueError, TypeError):
        yield Finding(label, phase, key, name, "a damaged receipt", "JSON as it was written")
        return
    for file, entry in receipt.files.items():
        yield from _file(store, Finding(label, phase, key, data_name(folder, phase, file), "", ""), entry)


def _figures(store: Store, label: str, folder: str, expected: str) -> Iterator[Finding]:
    """The charts of a finished node: they are drawn again when its manifest is, from the receipts."""
    data = store.read(f"{folder}/figures.json")
    found = None if data is None else hashlib.sha256(data).hexdigest()
    if found != expected:
        found = "no file" if found is None else f"SHA-256 {found[:12]}..."
        yield Finding(label, "figures", "", f"{folder}/figures.json", found, f"{expected[:12]}...")


def _with_receipts(store: Store, folder: str) -> dict[str, Sequence[str]]:
    """Phase -> keys that have receipts in a node that is not finished."""
    return {
        phase: [name.removesuffix(".json") for name in store.names(f"{folder}/receipts/{phase}")]
        for phase in store.names(f"{folder}/receipts")
    }


def _file(store: Store, blank: Finding, entry: Mapping[str, Any]) -> Iterator[Finding]:
    size = store.size(blank.file)
    if size != entry["size"]:
        found = "no file" if size is None else f"{size} bytes"
        yield replace(blank, found=found, expected=f"{entry['size']} bytes")
        return
    digest = None if size is None else sha256_of(store.local(blank.file))
    if digest == entry["sha256"]:
        return
    found = "no file" if digest is None else f"SHA-256 {digest[:12]}..., {size} bytes"
    yield replace(blank, found=found, expected=f"{entry['sha256'][:12]}..., {entry['size']} bytes")


def _linked(store: Store, folder: str, bad: Sequence[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Yield (folder, findings) of the same tasks in other nodes of the kind, whose files may be links to the damaged
    ones: the next run would link them again. Keys of shards differ in the base alone.
    """
    tasks = {(finding.phase, finding.key.partition("-")[2]) for finding in bad if finding.key}
    for name in store.names("nodes") if tasks else ():
        other = f"nodes/{name}"
        if other == folder or other.rpartition("-")[0] != folder.rpartition("-")[0]:
            continue
        found = [
            finding
            for phase, keys in _with_receipts(store, other).items()
            for key in keys
            if (phase, key.partition("-")[2]) in tasks
            for finding in _task(store, name, other, phase, key)
        ]
        if found:
            yield other, found


def _withdraw(store: Store, leases: Leases, folder: str, bad: Sequence[Finding]) -> list[Finding]:
    if not bad:
        return []
    if not leases.acquire(folder):
        return [replace(finding, note="another driver holds the node; verify again when it is done") for finding in bad]
    withdraw(store, folder, {(finding.phase, finding.key) for finding in bad if finding.key})
    leases.release(folder)
    return [replace(finding, withdrawn=True, note="siftloom run does it again") for finding in bad]


def _digests(store: Store) -> Iterator[Finding]:
    """Files of source digests that cannot be read: they go, and the next run makes them again."""
    for listing in store.names("sources"):
        name = f"sources/{listing}/digests.json"
        data = store.read(name)
        if data is not None and parse_digests(data) is None:
            store.delete(name)
            yield Finding(
                "sources", "digests", listing, name, "a damaged file", "a SHA-256 for each file",
                withdrawn=True, note="siftloom run makes it again",
            )  # fmt: skip


def _sources(store: Store, record: dict[str, Any]) -> Iterator[Finding]:
    """Check source files that later nodes open again, for rows in place or for sounds: nobody but the user can restore
    those.
    """
    used: dict[str, str] = {}
    for label, entry in record["nodes"].items():
        manifest = manifest_of(store, entry["folder"])
        for shards in manifest.get("shards", {}).values():
            used |= {shard["in_place"]["digest"]: label for shard in shards if "in_place" in shard}
            used |= {digest: label for shard in shards for digest in shard.get("files", ())}
    for source in record.get("sources", ()):
        if source["digest"] in used:
            try:
                require_unchanged(Source(**source))
            except SourceChanged as error:
                yield Finding(
                    used[source["digest"]], "sources", source["name"], source["path"], error.found,
                    error.expected, note=error.then,
                )  # fmt: skip


def manifest_of(store: Store, folder: str) -> dict[str, Any]:
    """The manifest of a node, empty where there is none or it is damaged."""
    try:
        found = json.loads(store.read(f"{folder}/manifest.json") or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
