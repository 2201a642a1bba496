"""A finished file of a store as a value that travels: whatever machine it comes to, it finds the bytes by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.files.store import Store


@dataclass(frozen=True)
class StoredFile:
    """An object that does not change. `sha256`, where it is known, is held against every copy of it."""

    store: Store
    name: str
    size: int = 0
    sha256: str = ""

    def local(self) -> Path:
        """A path of this machine, to be opened at once. Of a remote object this machine makes one copy."""
        return self.store.local(self.name, self.sha256)

    def held(self) -> BinaryIO:
        """The file open, of a remote object a copy, which stays while it or a memory map of it is open."""
        return self.store.held(self.name, self.sha256)

    def stream(self) -> BinaryIO:
        """A seekable stream, which fetches of a remote object no more than what is read."""
        return self.store.stream(self.name)

    def ranges(self, starts: Sequence[int], length: int) -> list[bytes]:
        """Parts of `length` bytes each."""
        return self.store.ranges(self.name, starts, length)


def too_large(files: Iterable[StoredFile]) -> bool:
    """Whether all these files together are more than a machine should keep copies of."""
    sizes: dict[int, int] = {}
    for file in files:
        most = file.store.most_copies
        if most is not None:
            sizes[most] = sizes.get(most, 0) + file.size
    return any(size > most for most, size in sizes.items())
