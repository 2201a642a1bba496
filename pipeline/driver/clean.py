"""What in a store does nobody need any more? `clean` removes nodes and source digests that no run needs.

A node that a live driver holds is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pipeline.driver.verify import manifest_of
from pipeline.files.address import Address
from pipeline.files.objects import Store
from pipeline.files.open_store import open_store, require_store
from pipeline.files.sources import parse_digests
from pipeline.results.holds import CLEANING, held, left
from pipeline.results.lease import Leases
from pipeline.results.run_record import FOLDER, read_run


@dataclass(frozen=True)
class Unused:
    """A folder or object that no run names, and its bytes."""

    name: str
    bytes: int


def clean(store: str | Address, *, dry_run: bool = False) -> list[Unused]:
    """Remove what no run names, manifest first, and what killed tasks left half-written; returns what went.

    A recipe whose runs are gone is forgotten with them: remove `runs/<name>` first. With `dry_run` nothing is removed.
    What does not look as a run leaves it is not touched. Raises StoreError for a folder that is no store.
    """
    opened = open_store(store)
    require_store(opened)
    leases = Leases(opened)
    try:
        if dry_run:
            return _unused(opened, leases)
        with leases.turn(CLEANING):  # a driver that begins waits, and looks at no node before
            gone = [
                each for each in _unused(opened, leases)
                if not each.name.startswith("nodes/") or leases.acquire(each.name)
            ]  # fmt: skip
            for each in gone:
                opened.delete(f"{each.name}/manifest.json")
                opened.delete(each.name)
    finally:
        leases.close()
    return gone


def _unused(store: Store, leases: Leases) -> list[Unused]:
    of_drivers = held(leases)
    names = [name for name in _unused_nodes(store, of_drivers) if leases.holder(name) is None]
    found = [_measured(store, name) for name in [*names, *_unused_listings(store), *left(leases)]]
    idle = not of_drivers and all(leases.holder(f"nodes/{name}") is None for name in store.names("nodes"))
    if idle and store.names("temporary"):
        found.append(_measured(store, "temporary"))
    return found


def _measured(store: Store, name: str) -> Unused:
    return Unused(name, sum(store.sizes(name).values()))


def _records(store: Store) -> list[dict[str, Any]]:
    return [record for name in store.names("runs") if (record := read_run(store, name)) is not None]


def _unused_nodes(store: Store, held: Collection[str]) -> list[str]:
    """Folders of nodes that no run names and no driver holds, and that no node of a run was made from: its rows lie
    there.
    """
    folders = {name.rpartition("-")[2]: f"nodes/{name}" for name in store.names("nodes")}
    used: set[str] = set()
    todo = [*held, *(entry["folder"] for record in _records(store) for entry in record["nodes"].values())]
    while todo:
        if (folder := todo.pop()) not in used:
            used.add(folder)
            inputs = manifest_of(store, folder).get("inputs", {}).values()
            todo += [folders[parent[:12]] for parents in inputs for parent in parents if parent[:12] in folders]
    return [folder for folder in folders.values() if FOLDER.fullmatch(folder) and folder not in used]


def _unused_listings(store: Store) -> list[str]:
    used = {source["digest"] for record in _records(store) for source in record.get("sources", ())}
    listings = [f"sources/{name}" for name in store.names("sources") if re.fullmatch(r"[0-9a-f]{24}", name)]
    return [name for name in listings if not used.issuperset(_known_digests(store, name))]


def _known_digests(store: Store, listing: str) -> list[str]:
    """The digests of a listing: of a damaged one something that no run names, of what is no listing nothing."""
    data = store.read(f"{listing}/digests.json")
    return [] if data is None else parse_digests(data) or ["damaged"]
