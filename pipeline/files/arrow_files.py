"""A place as a file system of Arrow's, for programs that take no other: Ray Train's storage.

A path begins with the name of the place and goes on below it. Ray shows such paths, and never the address.
A stream that is written is held in memory and becomes a whole object when it is closed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import fs

from pipeline.files.store import Store


def file_system(store: Store) -> tuple[fs.FileSystem, str]:
    """Return a place as a program of Arrow's takes it: a file system, and the path in it. Nothing else opens one."""
    if not store.address.remote:
        return fs.LocalFileSystem(), os.path.abspath(store.address)
    return fs.PyFileSystem(ArrowFiles(store)), root_of(store)


def root_of(store: Store) -> str:
    """The path of the place itself."""
    return store.address.name or "store"


class ArrowFiles(fs.FileSystemHandler):
    """Folders are there when something is in them, and need not be made."""

    def __init__(self, store: Store) -> None:
        self._store, self._root = store, root_of(store)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrowFiles, (self._store,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrowFiles) and self._store == other._store

    def __hash__(self) -> int:
        return hash(self._store)

    def get_type_name(self) -> str:
        return "siftloom"

    def normalize_path(self, path: str) -> str:
        return path

    def _name(self, path: str) -> str:
        root, _, name = path.strip("/").partition("/")
        if root != self._root:
            raise ValueError(f"{path}: not below {self._root}")
        return name

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> fs.FileInfo:
        name = self._name(path)
        size = self._store.size(name) if name else None
        if size is not None:
            return fs.FileInfo(path, fs.FileType.File, size=size)
        there = not name or self._store.names(name)
        return fs.FileInfo(path, fs.FileType.Directory if there else fs.FileType.NotFound)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        base, found = selector.base_dir.rstrip("/"), self._store.sizes(self._name(selector.base_dir))
        if not found and not selector.allow_not_found:
            raise FileNotFoundError(selector.base_dir)
        infos = {}
        for name, size in found.items():
            parts = name.split("/")
            for depth in range(1, len(parts) + 1 if selector.recursive else 2):
                path = "/".join((base, *parts[:depth]))
                whole = depth == len(parts)
                infos[path] = (
                    fs.FileInfo(path, fs.FileType.File, size=size)
                    if whole
                    else fs.FileInfo(path, fs.FileType.Directory)
                )
        return list(infos.values())

    def create_dir(self, path: str, recursive: bool) -> None:
        pass

    def delete_dir(self, path: str) -> None:
        self._store.delete(self._name(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._store.delete(self._name(path))

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("removing all of a place")

    def delete_file(self, path: str) -> None:
        self._store.delete(self._name(path))

    def move(self, src: str, dest: str) -> None:
        self.copy_file(src, dest)
        self.delete_file(src)

    def copy_file(self, src: str, dest: str) -> None:
        self._store.link(self._name(src), self._name(dest))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        data = self._store.read(self._name(path))
        if data is None:
            raise FileNotFoundError(path)
        return pa.BufferReader(data)

    def open_input_file(self, path: str) -> pa.NativeFile:
        return self.open_input_stream(path)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return pa.PythonFile(_Object(self._store, self._name(path)), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError("appending to an object")


class _Object(io.BytesIO):
    def __init__(self, store: Store, name: str) -> None:
        super().__init__()
        self._store, self._name = store, name

    def close(self) -> None:
        if not self.closed:
            self._store.write(self._name, self.getvalue())
        super().close()
