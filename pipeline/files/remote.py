"""A store on an object store (S3, Google, Azure), through obstore.

One PUT publishes an object, whole or not at all; `create` is a PUT on the condition that the name is free, so leases
and receipts have one owner. Reading a receipt is one GET.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from pipeline.errors import ObjectDamaged, StoreError
from pipeline.files import cache
from pipeline.files.address import Address
from pipeline.files.objects import unconditional
from pipeline.files.opening import connect, explained, first_line
from pipeline.files.process_folder import process_folder
from pipeline.files.refusals import explained as explained_disk
from pipeline.files.remote_sources import Ranges
from pipeline.files.store import Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

ONE_PUT = 256 * 1024**2  # bytes; more go up in parts, and a multipart upload has no condition on a free name
CHUNK = 8 * 1024**2


@dataclass(frozen=True, repr=False)
class RemoteStore(Store):
    """An address of an object store; see `pipeline.files.opening`."""

    at: Address

    def __repr__(self) -> str:
        return f"RemoteStore({self.at!r})"

    @property
    def address(self) -> Address:
        return self.at

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the object store into named ones. What is not there stays a FileNotFoundError."""
        from obstore import exceptions

        with explained(self.at):
            try:
                yield
            except exceptions.BaseError as error:
                # of all that is asked, S3's servers may lack a condition alone
                if isinstance(error, exceptions.NotSupportedError) or "501 Not Implemented" in str(error):
                    raise unconditional(self, first_line(self.at, error)) from None
                raise

    def read(self, name: str) -> bytes | None:
        import obstore

        try:
            with self._explained():
                return bytes(obstore.get(connect(self.at), name).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._put(name, data, new=True)

    def publish(self, path: Path, name: str) -> None:
        self._put(name, path)
        path.unlink()

    def upload(self, path: Path, name: str) -> None:
        self._put(name, path)

    def publish_new(self, path: Path, name: str) -> bool:
        if path.stat().st_size > ONE_PUT:
            if self.size(name) is not None:
                return False
            self.publish(path, name)
            return True
        free = self._put(name, path, new=True)
        if free:
            path.unlink()
        return free

    def _put(self, name: str, content: bytes | Path, new: bool = False) -> bool:
        """Return whether the name was free, or did not have to be."""
        import obstore

        parts = isinstance(content, Path) and content.stat().st_size > ONE_PUT
        try:
            with self._explained():
                obstore.put(connect(self.at), name, content, mode="create" if new else "overwrite", use_multipart=parts)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise StoreError(f"store {self}", str(error), "a bucket that exists", "make it, or name another") from None
        return True

    def link(self, source: str, name: str) -> None:
        import obstore

        with self._explained():
            obstore.copy(connect(self.at), source, name)

    def size(self, name: str) -> int | None:
        import obstore

        try:
            with self._explained():
                return obstore.head(connect(self.at), name)["size"]
        except FileNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        import obstore

        with self._explained():
            found = obstore.list_with_delimiter(connect(self.at), prefix)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return sorted(path.rpartition("/")[2] for path in paths)

    def sizes(self, prefix: str) -> dict[str, int]:
        import obstore

        with self._explained():
            found = [entry for some in obstore.list(connect(self.at), prefix or None) for entry in some]
        start = len(prefix) + 1 if prefix else 0
        return {entry["path"][start:]: entry["size"] for entry in found}

    def delete(self, name: str) -> None:
        import obstore

        inside = [f"{name}/{found}" for found in self.sizes(name)]
        with self._explained(), contextlib.suppress(FileNotFoundError):
            obstore.delete(connect(self.at), [*inside, name])

    def local(self, name: str, sha256: str = "") -> Path:
        """A copy in the private cache. `sha256`, where it is known, names the version and is held against the bytes."""
        import obstore

        try:
            with self._explained():
                # A file may be replaced until its receipt is written; with the digest of a receipt, nothing is asked.
                version = sha256 or obstore.head(connect(self.at), name)["e_tag"] or ""
        except FileNotFoundError:
            raise self._missing(name) from None
        folder, key = self.temporary_folder(), self._key(name, version)
        try:
            return cache.cached(key, name, folder, lambda path: self.fetch(name, path, sha256))
        except FileNotFoundError:
            raise self._missing(name) from None

    def forget(self, name: str, sha256: str) -> None:
        cache.forget(self._key(name, sha256), name)

    def _key(self, name: str, version: str) -> str:
        return hashlib.sha256(f"{self.at.plain()}\0{name}\0{version}".encode()).hexdigest()[:32]

    def held(self, name: str, sha256: str = "") -> BinaryIO:
        return cache.held(lambda: self.local(name, sha256))

    def stream(self, name: str) -> BinaryIO:
        try:
            return cast("BinaryIO", Ranges(self.at.below(name)))
        except FileNotFoundError:
            raise self._missing(name) from None

    def ranges(self, name: str, starts: Sequence[int], length: int) -> list[bytes]:
        import obstore

        try:
            with self._explained():
                found = obstore.get_ranges(connect(self.at), name, starts=starts, lengths=[length] * len(starts))
        except FileNotFoundError:
            raise self._missing(name) from None
        return [bytes(part) for part in found]

    @property
    def most_copies(self) -> int | None:
        return cache.LIMIT // 2

    def fetch(self, name: str, path: Path, sha256: str = "") -> None:
        import obstore

        state = hashlib.sha256()
        with self._explained():
            found = obstore.get(connect(self.at), name)
        with self._explained(), explained_disk(path.parent, "folder"), open(path, "wb") as file:
            for chunk in found.stream(min_chunk_size=CHUNK):
                file.write(chunk)
                state.update(chunk)
        if sha256 and state.hexdigest() != sha256:
            raise ObjectDamaged(
                f"store {self}", f"other bytes in {name} ({state.hexdigest()[:12]}...)",
                f"those of its receipt ({sha256[:12]}...)", "siftloom verify, then siftloom run",
            )  # fmt: skip

    def _missing(self, name: str) -> ObjectDamaged:
        return ObjectDamaged(f"store {self}", f"no object {name}", "it to be there", "siftloom verify")

    def below(self, name: str) -> RemoteStore:
        return RemoteStore(self.at.below(name))

    def file_system(self) -> tuple[FileSystem, str]:
        from pipeline.files.arrow_files import file_system

        return file_system(self)

    def free_bytes(self) -> int | None:
        return None

    def temporary_folder(self) -> Path:
        return process_folder()
