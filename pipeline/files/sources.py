"""Source files: from paths and globs to a listing, from a listing to digests.

A listing holds the place, size and stamp (times and inode, or the etag) of each file that the paths name now. A changed
listing says that a file may have changed. The digests, computed once per listing, say whether one has. Identities use
the digests, so a copied or touched file costs a digest and never a second run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pipeline.contract import Source
from pipeline.errors import SourceChanged, SourceError
from pipeline.files import remote_sources
from pipeline.files.address import Address
from pipeline.files.local_files import Unusable, local_files
from pipeline.files.objects import Store
from pipeline.files.remote_sources import find, open_uri
from pipeline.fingerprint import canonical_json

CHUNK = 1 << 20  # bytes read at once
TICK = 0.02  # seconds; a kernel's clock of files moves 100 times a second, or more often
COARSE_TICK = 2.0  # of file systems that keep whole seconds


@dataclass(frozen=True)
class ListedFile:
    """A file as a listing sees it. `stamp` changes when the file may have changed."""

    name: str  # relative to where its pattern begins
    path: Address  # absolute, or a URI
    size: int  # bytes
    stamp: str

    def stand_in(self) -> str:
        """What stands for the digest of a file that is not read for it: its place, size and stamp, 64 hex digits."""
        return hashlib.sha256(canonical_json([self.path.plain(), self.size, self.stamp])).hexdigest()


@dataclass(frozen=True)
class Listing:
    """What some paths name now."""

    entries: tuple[ListedFile, ...]

    @property
    def key(self) -> str:
        form = [[e.name, e.path.plain(), e.size, e.stamp] for e in self.entries]
        return hashlib.sha256(canonical_json(form)).hexdigest()[:24]

    def stand_ins(self) -> list[str]:
        """Stand-ins for digests where the listing itself is trusted."""
        return [entry.stand_in() for entry in self.entries]

    def digests(self, store: Store) -> list[str] | None:
        """The digests of all files, None until every one is known; what is damaged is not known."""
        found = parse_digests(store.read(f"sources/{self.key}/digests.json") or b"")
        return found if found is not None and len(found) == len(self.entries) else None

    def sources(self, digests: Sequence[str]) -> tuple[Source, ...]:
        return tuple(
            Source(i, entry.name, entry.path, entry.size, digest, entry.stamp)
            for i, (entry, digest) in enumerate(zip(self.entries, digests, strict=True))
        )


def expand(
    paths: Sequence[str] | str,
    place: str,
    schemes: Mapping[str, Callable[[str], Sequence[str]]] | None = None,
    exclude: Sequence[str] = (),
    unusable: Unusable | None = None,
) -> Listing:
    """The files that paths, folders and globs name, sorted by relative name. `place` names the field in errors;
    `schemes` are those of the field, see `contract.sources`. Files whose path ends as one of `exclude` says are left
    out; `unusable` takes the path and the error of one that cannot be read, which raises otherwise.
    """

    def left_out(path: str | PurePath) -> bool:
        return any(PurePath(path).match(os.path.normpath(pattern)) for pattern in exclude)

    entries: dict[Address, ListedFile] = {}
    own = schemes or {}
    for pattern in (paths,) if isinstance(paths, str) else paths:
        scheme, mark, rest = pattern.partition("://")
        if mark and scheme in own:
            found = [entry for path in own[scheme](rest) for entry in _files(path, place)]
        elif (address := Address(pattern)).remote:
            found = [ListedFile(*each) for each in find(address, place)]
            found = [entry for entry in found if not left_out(entry.path.plain())]
        else:
            found = _files(pattern.removeprefix("file://"), place, left_out, unusable)
        if not found:
            raise SourceError(
                place, f"nothing matches {str(Address(pattern))!r}", "an existing file, folder or glob",
                f"ls {os.path.dirname(str(Address(pattern))) or '.'}",
            )  # fmt: skip
        for entry in found:
            entries.setdefault(entry.path, entry)  # named twice, read once, under its first name
    ordered = sorted(entries.values(), key=lambda e: (e.name, e.path.plain()))
    return Listing(tuple(ordered))


def _files(
    pattern: str, place: str, left_out: Callable[[str], bool] | None = None, unusable: Unusable | None = None
) -> list[ListedFile]:
    found = list(local_files(pattern, place, left_out, unusable))
    _outwait(max((status.st_ctime_ns for _, _, status in found), default=0))
    return [ListedFile(name, Address(path), status.st_size, stamp_of(status)) for name, path, status in found]


def _outwait(changed: int) -> None:
    """Wait until a file that changes from now on has another time than this one (of its inode, in ns): many file
    systems tell times by ticks of a clock, some by whole seconds, and a file may be listed and read within one.
    """
    tick = TICK if changed % 1_000_000_000 else COARSE_TICK
    time.sleep(min(max(0.0, changed / 1e9 + tick - time.time()), tick))


def stamp_of(status: os.stat_result) -> str:
    """Return a text that is another one whenever a local file may have other bytes. It has the time of the inode's last
    change, because a modification time can be set (`touch -r`, `tar`).
    """
    return f"{status.st_mtime_ns}.{status.st_ctime_ns}.{status.st_ino}"


def open_stream(path: str | Address):
    """A seekable binary stream of a local path or a URI."""
    address = Address(path)
    return open_uri(address) if address.remote else open(address, "rb")


def digest_file(path: str | Address, size: int) -> str:
    """SHA-256 of a source file; raises `SourceChanged` when it is gone, or its length is not the one listed."""
    state, length, found = hashlib.sha256(), 0, ""
    try:
        with open_stream(path) as stream:
            while chunk := stream.read(CHUNK):
                state.update(chunk)
                length += len(chunk)
    except FileNotFoundError:  # gone since, or never there on this machine of a cluster
        found = "no file"
    if found or length != size:
        raise SourceChanged(
            str(path), found or f"{length} bytes read", f"the {size} bytes listed before",
            "run again when it is still; on a cluster every machine must see it",
        )  # fmt: skip
    return state.hexdigest()


def require_unchanged(source: Source) -> None:
    """Raise `SourceChanged` unless the file is as it was listed, or has at least the same bytes."""
    try:
        size, stamp = _now(source.path)
        same_size = size == source.size
        if same_size and (stamp == source.stamp or digest_file(source.path, size) == source.digest):
            return
        found = "a file that has changed since it was listed"
    except FileNotFoundError:
        found = "no file"
    raise SourceChanged(
        str(source.path), found, f"the bytes with the SHA-256 {source.digest[:12]}...",
        "put the file back, or run again to read the new one",
    )  # fmt: skip


def _now(path: Address) -> tuple[int, str]:
    """Return size and stamp of a file as a listing of this moment would have them."""
    if not path.remote:
        status = os.stat(path)
        return status.st_size, stamp_of(status)
    return remote_sources.stat(path)


def parse_digests(data: bytes) -> list[str] | None:
    """Return the digests that a stored file lists, None where that file is damaged."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    whole = isinstance(found, list) and all(isinstance(digest, str) and len(digest) == 64 for digest in found)
    return found if whole else None


def save_digests(store: Store, listing: Listing, digests: Sequence[str]) -> None:
    store.write(f"sources/{listing.key}/files.json", canonical_json(listing.stand_ins()))
    store.write(f"sources/{listing.key}/digests.json", canonical_json(list(digests)))


def growth(store: Store, listings: Sequence[Listing]) -> str | None:
    """Say how many files are new to a store, by place, size and stamp; None where all of them are."""
    files = [entry.stand_in() for listing in listings for entry in listing.entries]
    wanted, known = set(files), set[str]()
    for name in store.names("sources") if files else ():
        known.update(wanted.intersection(parse_digests(store.read(f"sources/{name}/files.json") or b"") or ()))
    new = sum(file not in known for file in files)
    return f"{new:,} new file{'s' * (new != 1)} of {len(files):,}, {len(files) - new:,} reused" if known else None
