"""What can be done at a place: names, whole-object reads, atomic publish, exclusive create.

A name is a relative path with `/`. An object is published whole or not at all: on a file system by a temporary name,
fsync and rename; on an object store by one PUT. There is no directory rename and no listing that anything depends on:
readers follow manifests and receipts. Stores are plain values (an address), so they travel to workers as they are.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.files.address import Address

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


class Store(ABC):
    """A place and what can be done below it. It prints as its address does, so without secrets."""

    def __str__(self) -> str:
        return str(self.address)

    @property
    @abstractmethod
    def address(self) -> Address:
        """Where it is."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The whole object, or None where there is none."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Publish bytes, replacing what was there."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Publish bytes unless the name is taken. Return whether it was free."""

    @abstractmethod
    def publish(self, path: Path, name: str) -> None:
        """Move a finished local file to a name, replacing what was there."""

    @abstractmethod
    def upload(self, path: Path, name: str) -> None:
        """Copy a finished local file to a name, replacing what was there."""

    @abstractmethod
    def publish_new(self, path: Path, name: str) -> bool:
        """Move a finished local file to a name unless the name is taken. Return whether it was free."""

    @abstractmethod
    def link(self, source: str, name: str) -> None:
        """Give an immutable object a second name."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of the object, or None where there is none."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Names of the entries directly below a folder, sorted; empty where there is no folder."""

    @abstractmethod
    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every object anywhere below a folder, by its name relative to the folder; empty where there is
        none.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object or a folder with all it holds; nothing happens where there is none."""

    @abstractmethod
    def local(self, name: str, sha256: str = "") -> Path:
        """A local path with the object's bytes. A store that is remote makes a copy, and holds it against `sha256`
        where that is known.
        """

    @abstractmethod
    def forget(self, name: str, sha256: str) -> None:
        """Remove the copy that `local` has made on this machine: nobody will ask for it again."""

    @abstractmethod
    def held(self, name: str, sha256: str = "") -> BinaryIO:
        """The file that `local` finds, open. A copy is kept while it, or a memory map of it, is open."""

    @abstractmethod
    def stream(self, name: str) -> BinaryIO:
        """A seekable stream of an object, which fetches no more than what is read of it."""

    @abstractmethod
    def ranges(self, name: str, starts: Sequence[int], length: int) -> list[bytes]:
        """Parts of an object, `length` bytes each."""

    @property
    @abstractmethod
    def most_copies(self) -> int | None:
        """Bytes of objects that a reader should keep on this machine at most; None where nothing is copied."""

    @abstractmethod
    def fetch(self, name: str, path: Path) -> None:
        """Copy the object's bytes to a path of this machine. Raises FileNotFoundError."""

    @abstractmethod
    def below(self, name: str) -> Store:
        """A folder of this place, as a place of its own."""

    @abstractmethod
    def file_system(self) -> tuple[FileSystem, str]:
        """The place as a program of Arrow's takes it: a file system, and the path in it."""

    def uri(self, name: str) -> str:
        """The address of an object or folder as it is shown: without secrets."""
        return str(self.address.below(name))

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Room left, or None where that has no meaning."""

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        """A local path to write a future object to, close to where it will be published; removed if it still exists."""
        path = self.temporary_folder() / f"{uuid.uuid4().hex}{os.path.splitext(name)[1]}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @abstractmethod
    def temporary_folder(self) -> Path:
        """Return the folder for files before they are published; on the store's disk where the store is a folder."""
