"""A store on an object store (S3, Google, Azure), through obstore.

One PUT publishes an object, whole or not at all; `create` is a PUT on the condition that the name is free, so leases
and receipts have one owner. Reading a receipt is one GET.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store import cache
from pipeline.store.objects import Store, explained, unconditional
from pipeline.store.process_folder import process_folder
from pipeline.store.uris import below, connect, first_line, masked

ONE_PUT = 256 * 1024**2  # bytes; more go up in parts, and a multipart upload has no condition on a free name
CHUNK = 8 * 1024**2


@dataclass(frozen=True)
class RemoteStore(Store):
    """`root` is a URI; see `pipeline.store.uris`."""

    root: str

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the object store into named ones. What is not there stays a FileNotFoundError."""
        from obstore import exceptions

        try:
            yield
        except (FileNotFoundError, FileExistsError, exceptions.AlreadyExistsError, StoreError):
            raise
        except exceptions.NotSupportedError as error:
            raise unconditional(self, first_line(error)) from None
        except (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(
                f"store {masked(self.root)}", f"access denied: {first_line(error)}",
                "credentials that may read and write", "set them in the environment (docs/store.md)",
            ) from None  # fmt: skip
        except (exceptions.BaseError, OSError) as error:
            if "501 Not Implemented" in first_line(error):  # of all that is asked, S3's servers may lack this alone
                raise unconditional(self, first_line(error)) from None
            raise StoreError(
                f"store {masked(self.root)}", f"{first_line(error)}", "a store that answers", "siftloom doctor"
            ) from None

    def read(self, name: str) -> bytes | None:
        import obstore

        try:
            with self._explained():
                return bytes(obstore.get(connect(self.root), name).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._put(name, data, new=True)

    def publish(self, path: Path, name: str) -> None:
        self._put(name, path)
        path.unlink()

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
        from obstore.exceptions import AlreadyExistsError

        parts = isinstance(content, Path) and content.stat().st_size > ONE_PUT
        try:
            with self._explained():
                obstore.put(
                    connect(self.root), name, content, mode="create" if new else "overwrite", use_multipart=parts
                )
        except (FileExistsError, AlreadyExistsError):
            return False
        except FileNotFoundError as error:
            raise StoreError(
                f"store {masked(self.root)}", f"{first_line(error)}", "a bucket that exists", "make it, or name another"
            ) from None
        return True

    def link(self, source: str, name: str) -> None:
        import obstore

        with self._explained():
            obstore.copy(connect(self.root), source, name)

    def size(self, name: str) -> int | None:
        import obstore

        try:
            with self._explained():
                return obstore.head(connect(self.root), name)["size"]
        except FileNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        import obstore

        with self._explained():
            found = obstore.list_with_delimiter(connect(self.root), prefix)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return sorted(path.rpartition("/")[2] for path in paths)

    def sizes(self, prefix: str) -> dict[str, int]:
        import obstore

        with self._explained():
            found = [entry for some in obstore.list(connect(self.root), prefix) for entry in some]
        return {entry["path"][len(prefix) + 1 :]: entry["size"] for entry in found}

    def delete(self, name: str) -> None:
        import obstore

        inside = [f"{name}/{found}" for found in self.sizes(name)]
        with self._explained(), contextlib.suppress(FileNotFoundError):
            obstore.delete(connect(self.root), [*inside, name])

    def local(self, name: str, sha256: str = "") -> Path:
        """A copy in the private cache. `sha256`, where it is known, names the version and is held against the bytes."""
        import obstore

        try:
            with self._explained():
                # A file may be replaced until its receipt is written; with the digest of a receipt, nothing is asked.
                version = sha256 or obstore.head(connect(self.root), name)["e_tag"] or ""
        except FileNotFoundError:
            raise self._missing(name) from None
        key = hashlib.sha256(f"{self.root}\0{name}\0{version}".encode()).hexdigest()[:32]
        return cache.cached(key, name, self.temporary_folder(), lambda path: self._fetch(name, path, sha256))

    def _fetch(self, name: str, path: Path, sha256: str) -> None:
        import obstore

        state = hashlib.sha256()
        try:
            with self._explained():
                found = obstore.get(connect(self.root), name)
        except FileNotFoundError:
            raise self._missing(name) from None
        with self._explained(), explained(f"folder {path.parent}"), open(path, "wb") as file:
            for chunk in found.stream(min_chunk_size=CHUNK):
                file.write(chunk)
                state.update(chunk)
        if sha256 and state.hexdigest() != sha256:
            raise StoreError(
                f"store {masked(self.root)}", f"other bytes in {name} ({state.hexdigest()[:12]}...)",
                f"those of its receipt ({sha256[:12]}...)", "siftloom verify, then siftloom run",
            )  # fmt: skip

    def _missing(self, name: str) -> StoreError:
        return StoreError(f"store {masked(self.root)}", f"no object {name}", "it to be there", "siftloom verify")

    def uri(self, name: str) -> str:
        return below(self.root, name)

    def free_bytes(self) -> int | None:
        return None

    def temporary_folder(self) -> Path:
        return process_folder()
