"""Source files: from paths and globs to a listing, from a listing to digests.

A listing is the sorted relative names, sizes and modification times (etags, on an object store) of what the paths
name now. Its hash says whether a file may have changed; the digests behind it are made once per listing, by keyed
tasks, and say whether one has. Identity uses the digests, so a copied or touched file costs a digest and never a
re-run.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.contract import Source
from pipeline.errors import SourceChanged, SourceError
from pipeline.fingerprint import canonical_json
from pipeline.store.objects import Store

DEMO = "demo://"
CHUNK = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class Entry:
    """A file as a listing sees it. `stamp` changes when the file may have changed."""

    name: str
    path: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Listing:
    """What some paths name now."""

    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        form = [[e.name, e.size, e.stamp] for e in self.entries]
        return hashlib.sha256(canonical_json(form)).hexdigest()[:24]

    def digests(self, store: Store) -> list[str] | None:
        """The digests of all files, None until every one is known."""
        data = store.read(f"sources/{self.key}/digests.json")
        return None if data is None else json.loads(data)

    def sources(self, digests: Sequence[str]) -> tuple[Source, ...]:
        return tuple(
            Source(i, entry.name, entry.path, entry.size, digest, entry.stamp)
            for i, (entry, digest) in enumerate(zip(self.entries, digests, strict=True))
        )


def expand(paths: Sequence[str] | str, place: str) -> Listing:
    """The files that paths, folders and globs name, sorted by relative name. `place` names the field in errors."""
    entries: dict[str, Entry] = {}
    for pattern in (paths,) if isinstance(paths, str) else paths:
        found = (
            _demo(pattern) if pattern.startswith(DEMO) else _remote(pattern) if "://" in pattern else _files(pattern)
        )
        if not found:
            raise SourceError(
                place, f"nothing matches {pattern!r}", "an existing file, folder or glob",
                f"ls {os.path.dirname(pattern) or '.'}",
            )  # fmt: skip
        for entry in found:
            entries.setdefault(entry.path, entry)  # named twice, read once, under its first name
    ordered = sorted(entries.values(), key=lambda e: (e.name, e.path))
    return Listing(tuple(ordered))


def _files(pattern: str) -> list[Entry]:
    pattern = os.path.expanduser(pattern)
    if os.path.isdir(pattern):
        root = pattern
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    elif os.path.exists(pattern):
        root, paths = os.path.dirname(pattern), [pattern]
    else:
        paths = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
        magic = next((i for i, part in enumerate(Path(pattern).parts) if glob.has_magic(part)), 0)
        root = str(Path(*Path(pattern).parts[:magic])) if magic else ""
    entries = []
    for path in paths:
        if any(
            part.startswith(".") for part in Path(os.path.relpath(path, root or ".")).parts if part not in ("..", ".")
        ):
            continue
        status = _regular(path)
        name = Path(os.path.relpath(path, root or ".")).as_posix()
        entries.append(Entry(name, os.path.abspath(path), status.st_size, str(status.st_mtime_ns)))
    return entries


def _regular(path: str) -> os.stat_result:
    """Return the status of a regular file. A pipe or a device would be read for ever."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(path, f"a link that leads nowhere ({error.strerror})", "a file that can be read") from None
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(path, "a pipe, a device or a socket", "a regular file", "name the files in `paths`")
    return status


def _demo(pattern: str) -> list[Entry]:
    """`demo://NAME`: the embedded files NAME-*.jsonl.gz."""
    from importlib import resources

    name = pattern.removeprefix(DEMO)
    folder = Path(str(resources.files("recipes") / "corpus"))
    return [
        Entry(p.name, str(p), p.stat().st_size, str(p.stat().st_mtime_ns))
        for p in sorted(folder.glob(f"{name}-*.jsonl.gz"))
    ]


def _remote(pattern: str) -> list[Entry]:
    import fnmatch

    from pyarrow import fs

    head, _, query = pattern.partition("?")
    plain = head.split("*")[0].rstrip("/") if "*" in head else head
    try:
        system, place = fs.FileSystem.from_uri(plain + (f"?{query}" if query else ""))
        info = system.get_file_info(place)
        whole = info.type == fs.FileType.File
        infos = [info] if whole else system.get_file_info(fs.FileSelector(place, recursive=True))
    except Exception as error:  # each kind of file system has errors of its own
        raise SourceError(
            plain, (str(error) or type(error).__name__).splitlines()[0], "a file system that can be reached",
            "download the files, or name them as s3://, gs:// or hf://",
        ) from error  # fmt: skip
    scheme = head.split("://")[0]
    wanted = head.split("://", 1)[1]
    return [
        Entry(os.path.relpath(i.path, os.path.dirname(place) if i.path == place else place),
              f"{scheme}://{i.path}" + (f"?{query}" if query else ""), i.size, str(i.mtime_ns))
        for i in infos
        if i.type == fs.FileType.File and ("*" not in head or fnmatch.fnmatch(i.path, wanted))
    ]  # fmt: skip


def open_stream(path: str):
    """A seekable binary stream of a local path or a URI."""
    if "://" not in path:
        return open(path, "rb")
    from pyarrow import fs

    system, place = fs.FileSystem.from_uri(path)
    return system.open_input_file(place)


def digest_file(path: str, size: int) -> str:
    """SHA-256 of a source file; raises `SourceChanged` when its length is not the one listed."""
    state, length = hashlib.sha256(), 0
    with open_stream(path) as stream:
        while chunk := stream.read(CHUNK):
            state.update(chunk)
            length += len(chunk)
    if length != size:
        raise SourceChanged(
            path, f"{length} bytes read", f"the {size} bytes listed before", "run again when it is still"
        )
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
        source.path, found, f"the bytes with the SHA-256 {source.digest[:12]}...",
        "put the file back, or run again to read the new one",
    )  # fmt: skip


def _now(path: str) -> tuple[int, str]:
    """Size and stamp, as a listing would see them."""
    if "://" not in path:
        status = os.stat(path)
        return status.st_size, str(status.st_mtime_ns)
    from pyarrow import fs

    system, place = fs.FileSystem.from_uri(path)
    info = system.get_file_info(place)
    if info.type != fs.FileType.File:
        raise FileNotFoundError(path)
    return info.size, str(info.mtime_ns)


def save_digests(store: Store, listing: Listing, digests: Sequence[str]) -> None:
    store.write(f"sources/{listing.key}/digests.json", canonical_json(list(digests)))
