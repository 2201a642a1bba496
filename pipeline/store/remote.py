"""A store on an object store, through `pyarrow.fs`.

One PUT publishes an object. `pyarrow.fs` has no conditional PUT, so `create` looks and then writes: two drivers that
start within the same second may both believe that they own a node. Tasks are deterministic, so that costs work, never
bytes.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.objects import Store


@dataclass(frozen=True)
class RemoteStore(Store):
    """`root` is a URI such as `s3://bucket/path`; options go into its query as `pyarrow.fs` reads them."""

    root: str

    @cached_property
    def _place(self):
        from pyarrow import fs

        try:
            return fs.FileSystem.from_uri(self.root)
        except Exception as error:
            raise StoreError(f"store {self.root}", f"{error}", "a URI that pyarrow.fs can open") from error

    def __getstate__(self):
        return {"root": self.root}

    def _at(self, name: str) -> str:
        return f"{self._place[1].rstrip('/')}/{name}"

    def _info(self, name: str):
        return self._place[0].get_file_info(self._at(name))

    def read(self, name: str) -> bytes | None:
        try:
            with self._place[0].open_input_stream(self._at(name)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._place[0].open_output_stream(self._at(name)) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes) -> bool:
        if self.size(name) is not None:
            return False
        self.write(name, data)
        return True

    def publish(self, path: Path, name: str) -> None:
        with open(path, "rb") as file, self._place[0].open_output_stream(self._at(name)) as stream:
            shutil.copyfileobj(file, stream, 1 << 22)
        path.unlink(missing_ok=True)

    def link(self, source: str, name: str) -> None:
        self._place[0].copy_file(self._at(source), self._at(name))

    def size(self, name: str) -> int | None:
        from pyarrow import fs

        info = self._info(name)
        return info.size if info.type == fs.FileType.File else None

    def names(self, prefix: str) -> list[str]:
        from pyarrow import fs

        selector = fs.FileSelector(self._at(prefix), allow_not_found=True)
        return sorted(info.base_name for info in self._place[0].get_file_info(selector))

    def sizes(self, prefix: str) -> dict[str, int]:
        from pyarrow import fs

        root = self._at(prefix)
        found = self._place[0].get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=True))
        return {info.path[len(root) + 1 :]: info.size for info in found if info.type == fs.FileType.File}

    def delete(self, name: str) -> None:
        from pyarrow import fs

        kind = self._info(name).type
        if kind == fs.FileType.File:
            self._place[0].delete_file(self._at(name))
        elif kind == fs.FileType.Directory:
            self._place[0].delete_dir(self._at(name))

    def local(self, name: str) -> Path:
        try:
            remote = self._place[0].open_input_file(self._at(name))
        except FileNotFoundError:
            raise StoreError(f"store {self.root}", f"no object {name}", "it to be there", "siftloom verify") from None
        with remote:
            # A file may be replaced until its receipt is written, so a copy is of one version of it.
            version = remote.metadata().get("ETag") or str(self._info(name).mtime_ns).encode()
            root = self._place[1].strip("/").replace("/", "_")
            path = Path(tempfile.gettempdir(), "siftloom-cache", root, sha1(version).hexdigest()[:16], name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with self.temporary(name) as fresh:
                    with open(fresh, "wb") as file:
                        shutil.copyfileobj(remote, file, 1 << 22)
                    shutil.move(fresh, path)
        return path

    def uri(self, name: str) -> str:
        head, _, query = self.root.partition("?")
        return f"{head}/{name}" + (f"?{query}" if query else "")

    def free_bytes(self) -> int | None:
        return None
