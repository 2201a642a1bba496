"""What a process without workers is at, noted in the store: a process that is killed cannot say what killed it.

On Ray the driver outlives its workers and names the shard that one has died over. Where the driver does the work
itself, the next one says what the note of a dead process names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.files.objects import Store
from pipeline.files.owner import Owner

PREFIX = "at-work-"


@dataclass
class AtWork:
    """The note of this process, in the folder of its run."""

    store: Store
    run: str

    def __post_init__(self) -> None:
        self._owner = Owner.here()
        self._name = f"runs/{self.run}/{PREFIX}{self._owner.token}"

    @contextlib.contextmanager
    def on(self, nodes: str, key: str) -> Iterator[None]:
        """Note that a task begins; whatever it ends in, if the process is still there, takes the note away."""
        note = {"nodes": nodes, "key": key, "owner": dataclasses.asdict(self._owner)}
        self.store.write(self._name, json.dumps(note).encode())
        try:
            yield
        finally:
            self.store.delete(self._name)


def ends_told(store: Store, run: str) -> list[str]:
    """Return a line for each process that has died at its work, and take its note away."""
    lines = []
    for name in store.names(f"runs/{run}"):
        data = store.read(f"runs/{run}/{name}") if name.startswith(PREFIX) else None
        if data is None:
            continue
        try:
            note = json.loads(data)
            nodes, key, owner = note["nodes"], note["key"], Owner(**note["owner"])
        except (ValueError, TypeError, KeyError):  # no note of ours
            continue
        if owner.is_dead():
            store.delete(f"runs/{run}/{name}")
            lines.append(
                f"{nodes}, {key}: the process that did this without Ray has died over it (killed, out "
                "of memory, or a crash of a library). If it happens again, run it with --on-ray, which names the cause"
            )
    return lines
