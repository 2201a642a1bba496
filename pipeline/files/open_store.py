"""Which kind of store a path or URI means, and the mark by which a folder is known to be a store."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.files.address import Address
from pipeline.files.json_files import read_json
from pipeline.files.objects import LocalStore, unconditional
from pipeline.files.store import Store
from pipeline.files.stored import StoredFile

MARK, FORMAT = "siftloom.json", 3


def open_store(place: str | Address) -> Store:
    """The store at a path, or at a URI of an object store (`pipeline.files.address`)."""
    address = Address(place)
    if address.remote:
        from pipeline.files.remote import RemoteStore

        return RemoteStore(address)
    return LocalStore(str(Path(address).expanduser().absolute()))


def file_on_disk(path: Path) -> StoredFile:
    """A file of this machine in the form of a store's."""
    return StoredFile(open_store(str(path.parent)), path.name)


def mark_store(store: Store) -> None:
    """Mark a folder as a store. Raises StoreError for the store of another format, and for one where a name can be
    created twice.
    """
    mark = json.dumps({"format": FORMAT}).encode()
    if not store.create(MARK, mark):
        require_store(store)
    elif store.create(MARK, mark):
        raise unconditional(store, f"{MARK} could be created twice")


def require_store(store: Store) -> None:
    """Raise StoreError unless the folder was marked as a store of this format."""
    mark = read_json(store, MARK, f"write {{'format': {FORMAT}}} into it, if this is a store")
    if mark is None:
        raise StoreError(
            f"store {store}", f"no store: it holds no {MARK}", "a folder that `siftloom run` wrote into",
            "name it with --store",
        )  # fmt: skip
    if not isinstance(mark, dict) or mark.get("format") != FORMAT:
        raise StoreError(f"store {store}", f"{MARK} says {mark}", f"format {FORMAT}", "name another with --store")
