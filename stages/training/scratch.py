"""A folder for mutable files: on a file system, or at a URI that `pyarrow.fs` knows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Scratch:
    """Names may hold slashes. A reader of a file sees the old bytes or the new ones, never a part."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.local = Path(place) if "://" not in place else None
        if self.local is None:
            from pyarrow import fs

            self._remote, self._root = fs.FileSystem.from_uri(place)

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        if self.local is not None:
            return (self.local / name).exists()
        from pyarrow import fs

        return self._remote.get_file_info(f"{self._root}/{name}").type != fs.FileType.NotFound

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        if self.local is not None:
            try:
                return (self.local / name).read_bytes()
            except FileNotFoundError:
                return None
        try:
            with self._remote.open_input_stream(f"{self._root}/{name}") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        if self.local is None:
            with self._remote.open_output_stream(f"{self._root}/{name}") as stream:
                stream.write(data)
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
        elif self.exists(name):
            self._remote.delete_file(f"{self._root}/{name}")

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder; none where there is no folder."""
        if self.local is not None:
            try:
                return os.listdir(self.local / folder)
            except FileNotFoundError:
                return []
        from pyarrow import fs

        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True)
        return [info.base_name for info in self._remote.get_file_info(selector)]

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all in it, if it is there."""
        if self.local is not None:
            shutil.rmtree(self.local / folder, ignore_errors=True)
        elif self.names(folder):
            self._remote.delete_dir(f"{self._root}/{folder}")

    @contextmanager
    def folder(self, name: str, files: Iterable[str]) -> Iterator[Path]:
        """A folder on this machine with the files of a folder of ours, for as long as the context lasts."""
        if self.local is not None:
            yield self.local / name
            return
        with tempfile.TemporaryDirectory() as temporary:
            for file in files:
                self.fetch(f"{name}/{file}", Path(temporary) / file)
            yield Path(temporary)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file of ours to a path of this machine; raises FileNotFoundError."""
        if self.local is not None:
            shutil.copyfile(self.local / name, path)
            return
        with self._remote.open_input_stream(f"{self._root}/{name}") as stream, open(path, "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 24)

    @contextmanager
    def new_files(self, name: str) -> Iterator[Path]:
        """A folder to write files into, which lie in a folder of ours when the context ends well. On a file system it is
        that folder itself, with the files of other processes: who writes there sees to it that they reach the disk.
        """
        if self.local is not None:
            folder = self.local / name
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            for path in Path(temporary).iterdir():
                self._upload(path, f"{name}/{path.name}")

    @contextmanager
    def new_file(self, name: str, near: Path) -> Iterator[Path]:
        """A path to write to, whose file replaces a file of ours when the context ends well; `near` is a folder for
        files that are on their way.
        """
        path = near / Path(name).name if self.local is None else self.local / f".{name}.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        if self.local is None:
            self._upload(path, name)
        else:
            on_disk(path)
            os.replace(path, self.local / name)

    def _upload(self, path: Path, name: str) -> None:
        with open(path, "rb") as file, self._remote.open_output_stream(f"{self._root}/{name}") as stream:
            shutil.copyfileobj(file, stream, 1 << 24)


def on_disk(path: Path) -> None:
    """Return when what was written to a file has reached the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
