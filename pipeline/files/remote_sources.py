"""Source files on object stores: what a URI names, and their bytes, read by range."""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.errors import SourceError, StoreError
from pipeline.files.address import Address
from pipeline.files.opening import connect, explained

BUFFER = 1 << 20  # bytes that are asked for at least
MAGIC = re.compile(r"[*\[]")


class FoundObject(NamedTuple):
    """An object that a URI names."""

    name: str  # relative to where the pattern begins
    path: Address
    size: int
    stamp: str  # its etag; where the store has none, the time of its last change


def find(address: Address, place: str) -> Iterator[FoundObject]:
    """The objects that a URI names: itself, all below it, or what matches its glob, which means what it means locally:
    `*` stops at a `/`, `**` does not, names that begin with a dot are left out. Raises SourceError for a URI that is
    none; `place` names the field in it.
    """
    try:
        with explained(address):
            yield from _find(*address.split())
    except StoreError as error:
        raise SourceError(f"{place}: {address}", error.found, error.expected, error.then) from None
    except FileNotFoundError:
        return


def _find(bucket: Address, pattern: str) -> Iterator[FoundObject]:
    import obstore

    store = connect(bucket)
    if not MAGIC.search(pattern):
        try:
            yield _found(bucket, obstore.head(store, pattern), pattern.rpartition("/")[0])
            return
        except FileNotFoundError:
            root, wanted = pattern, ["**"]
    else:
        parts = pattern.split("/")
        first = next(i for i, part in enumerate(parts) if MAGIC.search(part))
        root, wanted = "/".join(parts[:first]), parts[first:]
    for some in obstore.list(store, root or None):
        for entry in some:
            names = entry["path"][len(root) :].lstrip("/").split("/")
            if _matches(names, wanted) and not any(name.startswith(".") for name in names):
                yield _found(bucket, entry, root)


def _found(bucket: Address, entry, root: str) -> FoundObject:
    name = entry["path"][len(root) :].lstrip("/")
    return FoundObject(name, bucket.below(entry["path"]), entry["size"], _stamp(entry))


def _stamp(entry) -> str:
    return (entry["e_tag"] or "").strip('"') or entry["last_modified"].isoformat()


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a glob."""
    if not parts or not names:
        return not names and all(part == "**" for part in parts)
    if parts[0] == "**":
        return _matches(names, parts[1:]) or _matches(names[1:], parts)
    return fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def stat(address: Address) -> tuple[int, str]:
    """Size and stamp of an object. Raises FileNotFoundError where there is none."""
    import obstore

    bucket, name = address.split()
    with explained(address):
        entry = obstore.head(connect(bucket), name)
    return entry["size"], _stamp(entry)


def open_uri(address: Address) -> io.BufferedReader:
    """A seekable stream of an object. Raises FileNotFoundError where there is none."""
    return io.BufferedReader(_Ranges(address), BUFFER)


class _Ranges(io.RawIOBase):
    """An object as a raw stream: each read is a GET of a range."""

    def __init__(self, address: Address) -> None:
        bucket, self._name = address.split()
        self._address, self._store, self._at = address, connect(bucket), 0
        self._size, _ = stat(address)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer) -> int:
        import obstore

        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        with explained(self._address):
            found = obstore.get_range(self._store, self._name, start=self._at, length=length)
        buffer[: len(found)] = memoryview(found)
        self._at += len(found)
        return len(found)
