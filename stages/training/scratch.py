"""A folder for mutable files: on a file system, or a place on an object store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.contract import Store


class Scratch:
    """Names may hold slashes. A reader of a file sees the old bytes or the new ones, never a part."""

    def __init__(self, place: Store | str) -> None:
        """`place` is the path of a folder, or a place on an object store."""
        self.local = Path(place) if isinstance(place, str) else None
        self._remote: Any = None if isinstance(place, str) else place

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        if self.local is not None:
            return (self.local / name).exists()
        return self._remote.size(name) is not None

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        if self.local is not None:
            try:
                return (self.local / name).read_bytes()
            except FileNotFoundError:
                return None
        return self._remote.read(name)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        if self.local is None:
            self._remote.write(name, data)
            return
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        else:
            self._remote.delete(name)

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder; none where there is no folder."""
        if self.local is not None:
            try:
                return os.listdir(self.local / folder)
            except FileNotFoundError:
                return []
        return self._remote.names(folder)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all in it, if it is there."""
        if self.local is not None:
            shutil.rmtree(self.local / folder, ignore_errors=True)
        else:
            self._remote.delete(folder)

    def file_system(self, folder: str) -> dict[str, Any]:
        """A folder of ours as Ray Train takes it: `storage_path`, and the file system that the path is in."""
        if self.local is not None:
            return {"storage_path": str(self.local / folder)}
        files, path = self._remote.below(folder).file_system()
        return {"storage_path": path, "storage_filesystem": files}

    @contextmanager
    def folder(self, name: str, files: Mapping[str, str]) -> Iterator[Path]:
        """A folder on this machine with files of a folder of ours, of which the SHA-256 are known, for as long as the
        context lasts. Of remote files a machine fetches one copy for all its processes, which stays until `forget`;
        raises ObjectDamaged for one that has other bytes.
        """
        if self.local is not None:
            yield self.local / name
            return
        with tempfile.TemporaryDirectory(dir=self._remote.temporary_folder()) as temporary:
            for file, sha256 in files.items():
                os.link(self._remote.local(f"{name}/{file}", sha256), Path(temporary) / file)
            yield Path(temporary)

    def forget(self, name: str, files: Mapping[str, str]) -> None:
        """Remove this machine's copies of such files."""
        for file, sha256 in files.items() if self.local is None else ():
            self._remote.forget(f"{name}/{file}", sha256)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file of ours to a path of this machine; raises FileNotFoundError."""
        if self.local is not None:
            shutil.copyfile(self.local / name, path)
            return
        self._remote.fetch(name, path)

    @contextmanager
    def new_files(self, name: str) -> Iterator[Path]:
        """A folder to write files into; they are in a folder of ours when the context ends well.

        On a file system it is that folder itself, with the files of other processes. Whoever writes there makes sure
        that the files reach the disk.
        """
        if self.local is not None:
            folder = self.local / name
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            for path in list(Path(temporary).iterdir()):
                self._remote.publish(path, f"{name}/{path.name}")

    @contextmanager
    def new_file(self, name: str, near: Path) -> Iterator[Path]:
        """A path to write to, whose file replaces a file of ours when the context ends well; `near` is a folder for
        files that are on their way.
        """
        path = near / Path(name).name if self.local is None else self.local / f".{name}.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        if self.local is None:
            self._remote.publish(path, name)
        else:
            on_disk(path)
            os.replace(path, self.local / name)


def on_disk(path: Path) -> None:
    """Return when what was written to a file has reached the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
