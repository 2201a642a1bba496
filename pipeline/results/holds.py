"""What live drivers hold, so that `clean` leaves it: all nodes of their graphs, whatever the records of runs say.

A driver writes the folders of its nodes to `<store>/drivers/<its token>/nodes.json` before it looks at any of them,
and keeps a lease of that place as long as it lives. A driver that writes this and a `clean` exclude each other by the
lease of `cleaning`. So `clean` has removed a folder before the driver looks at it, or leaves it alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pipeline.files.objects import Store
from pipeline.fingerprint import canonical_json
from pipeline.results.lease import Leases

CLEANING, DRIVERS = "cleaning", "drivers"


def hold(leases: Leases, folders: Iterable[str]) -> None:
    """Hold folders of nodes until `let_go`, or until this process is dead; waits for a `clean` that is at work."""
    place = _place(leases)
    with leases.turn(CLEANING):
        leases.store.write(f"{place}/nodes.json", canonical_json(sorted(folders)))
        leases.acquire(place)


def let_go(leases: Leases) -> None:
    """End the hold of this driver."""
    leases.release(_place(leases))
    leases.store.delete(_place(leases))


def held(leases: Leases) -> set[str]:
    """Folders that live drivers hold."""
    found: set[str] = set()
    for place in _places(leases.store):
        if leases.holder(place) is not None:
            found.update(json.loads(leases.store.read(f"{place}/nodes.json") or b"[]"))
    return found


def left(leases: Leases) -> list[str]:
    """Return the places of drivers that were killed and could not remove them."""
    return [place for place in _places(leases.store) if leases.holder(place) is None]


def _place(leases: Leases) -> str:
    return f"{DRIVERS}/{leases.owner.token}"


def _places(store: Store) -> list[str]:
    return [f"{DRIVERS}/{name}" for name in store.names(DRIVERS)]
