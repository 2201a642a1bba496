"""A place on a file system that all workers share. See `pipeline.files.store`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.errors import StoreError
from pipeline.files.address import Address
from pipeline.files.refusals import explained, named
from pipeline.files.store import Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True)
class LocalStore(Store):
    """A folder on a file system that all workers share."""

    root: str

    @property
    def address(self) -> Address:
        return Address(self.root)

    def _at(self, name: str) -> str:  # to make a `Path` takes half as long as to read a receipt
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes | None:
        try:
            with open(self._at(name), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a context would cost as much as a small read
            raise named(error, self.root) or error from error

    def write(self, name: str, data: bytes) -> None:
        with explained(self.root), self.temporary(name) as path:
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._rename(path, name)

    def create(self, name: str, data: bytes) -> bool:
        with explained(self.root), self.temporary(name) as path:
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return self._link(path, name)

    def publish(self, path: Path, name: str) -> None:
        with explained(self.root):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            self._rename(path, name)

    def upload(self, path: Path, name: str) -> None:
        with explained(self.root), self.temporary(name) as copy:
            shutil.copyfile(path, copy)
            self.publish(copy, name)

    def publish_new(self, path: Path, name: str) -> bool:
        with explained(self.root):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            if not self._link(path, name):
                return False
            path.unlink()
        return True

    def _link(self, path: Path, name: str) -> bool:
        """Give a finished file one more name. Return False where the name is taken. With O_EXCL others could see half a
        file.
        """
        target = self._at(name)
        try:
            os.link(path, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            return self._link(path, name)
        except FileExistsError:
            return False
        return True

    def _rename(self, path: Path, name: str) -> None:
        target = self._at(name)
        try:
            os.replace(path, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(path, target)

    def link(self, source: str, name: str) -> None:
        target = self._at(name)
        with explained(self.root), self.temporary(name) as path:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.link(self._at(source), path)
            except OSError:  # a file system without hard links
                shutil.copyfile(self._at(source), path)
            os.replace(path, target)

    def size(self, name: str) -> int | None:
        try:
            return os.stat(self._at(name)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(self._at(prefix)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        folders = [""]
        while folders:  # by `scandir`, which needs half as long as `os.walk` and a `stat` of every path
            inside = folders.pop()
            try:
                entries = os.scandir(self._at(f"{prefix}/{inside}" if inside else prefix))
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    name = f"{inside}/{entry.name}" if inside else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    else:
                        found[name] = entry.stat().st_size
        return found

    def delete(self, name: str) -> None:
        path = self.local(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def local(self, name: str, sha256: str = "") -> Path:
        return Path(self._at(name))

    def forget(self, name: str, sha256: str) -> None:
        pass

    def held(self, name: str, sha256: str = "") -> BinaryIO:
        return open(self._at(name), "rb")

    def stream(self, name: str) -> BinaryIO:
        return open(self._at(name), "rb")

    def ranges(self, name: str, starts: Sequence[int], length: int) -> list[bytes]:
        with open(self._at(name), "rb") as file:
            return [os.pread(file.fileno(), length, start) for start in starts]

    @property
    def most_copies(self) -> int | None:
        return None

    def fetch(self, name: str, path: Path) -> None:
        shutil.copyfile(self._at(name), path)

    def below(self, name: str) -> LocalStore:
        return LocalStore(self._at(name))

    def file_system(self) -> tuple[FileSystem, str]:
        from pipeline.files.arrow_files import file_system

        return file_system(self)

    def uri(self, name: str) -> str:
        return os.path.abspath(self._at(name))

    def free_bytes(self) -> int | None:
        path = Path(self.root).absolute()
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def temporary_folder(self) -> Path:
        folder = Path(self.root, "temporary")
        with explained(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder


def unconditional(store: Store, found: str) -> StoreError:
    """Return the error of a store that lets two processes take one name, each believing that it was free."""
    return StoreError(
        f"store {store}", f"it cannot write on a condition: {found}",
        "a store that can, so that no two drivers own one node", "use another bucket, or a shared folder",
    )  # fmt: skip


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
