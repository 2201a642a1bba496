"""Making finished tasks due again, so that a crash at any moment leaves none of them half withdrawn.

A receipt vouches for its files, so a receipt that is known to be wrong must go. The manifest goes before it, so that
nobody reads a node with a hole. A note of what is to go is written first, and whoever finds the note does the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pipeline.files.objects import Store
from pipeline.results.receipts import receipt_name


def withdraw(store: Store, folder: str, tasks: Iterable[tuple[str, str]]) -> None:
    """Remove a node's manifest and the receipts of these (phase, key)."""
    store.write(_note(folder), json.dumps(sorted(tasks)).encode())
    finish_withdrawal(store, folder)


def finish_withdrawal(store: Store, folder: str) -> bool:
    """Remove what a note says is to go. Return whether there was a note."""
    note = store.read(_note(folder))
    if note is None:
        return False
    store.delete(f"{folder}/manifest.json")
    for phase, key in json.loads(note):
        store.delete(receipt_name(folder, phase, key))
    store.delete(_note(folder))
    return True


def is_interrupted(store: Store, folder: str) -> bool:
    """Return whether a withdrawal was begun and not finished."""
    return store.size(_note(folder)) is not None


def _note(folder: str) -> str:
    return f"{folder}/withdrawn.json"
