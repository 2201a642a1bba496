"""Local copies of objects, for readers that need a file: private to the user, bounded, checked when written.

A machine fetches an object once, however many of its processes ask for it at the same time. What `held` has opened
stays until it is closed.

They lie in `$SIFTLOOM_CACHE`, else in `siftloom-<user id>` in the folder for temporary files. The folder must be the
user's own and closed to others: in another user's folder, that user's file would pass for the store's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import StoreError
from pipeline.quantities import setting

LIMIT = int(setting("SIFTLOOM_CACHE_BYTES", 10 * 1024**3))
IN_USE_SECONDS = 600.0  # a copy that was asked for so lately may be about to be opened

_added: int | None = None  # bytes since this process last looked how large the cache is


def private_folder() -> Path:
    """The folder. Raises StoreError where it is not the user's own, or open to others."""
    path = Path(os.environ.get("SIFTLOOM_CACHE") or Path(tempfile.gettempdir(), f"siftloom-{os.getuid()}"))
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StoreError(
                str(path), f"user {found.st_uid} has it, mode {stat.S_IMODE(found.st_mode):o}",
                "a folder of your own that is closed to others", f"chmod 700 {path}, or set SIFTLOOM_CACHE",
            ) from None  # fmt: skip
    return path


def cached(key: str, name: str, folder: Path, fetch: Callable[[Path], None]) -> Path:
    """Return a copy under `key`; `fetch` writes it where there is none; `name` is the last part of its path. A copy
    that is being written lies in `folder`, of the same file system.
    """
    path = _place(key, name)
    if _is_there(path):
        return path
    with _alone(path.parent):
        if _is_there(path):  # another process has fetched it meanwhile
            return path
        fresh = folder / uuid.uuid4().hex
        try:
            fetch(fresh)
            size = fresh.stat().st_size
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    _keep_bounded(size)
    return path


def forget(key: str, name: str) -> None:
    """Remove a copy, if it is there."""
    _place(key, name).unlink(missing_ok=True)


def _place(key: str, name: str) -> Path:
    return private_folder() / "objects" / key[:2] / key / os.path.basename(name)


def held(copy: Callable[[], Path]) -> BinaryIO:
    """The file that `copy` returns, open. It is not removed while it, or a memory map of it, is open."""
    while True:
        try:
            file = open(copy(), "rb")
        except FileNotFoundError:  # removed between the two
            continue
        with contextlib.suppress(OSError):  # a file system without locks: what is open is read to its end
            fcntl.flock(file, fcntl.LOCK_SH)
        return file


def _is_there(path: Path) -> bool:
    try:
        os.utime(path)  # of several copies the one that was not asked for the longest goes first
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one thread of one process of this machine in at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "fetching", "ab") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: it may be fetched twice
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_bounded(added: int) -> None:
    """Remove the copies that were not used the longest while there is more than `LIMIT`; looked at now and then."""
    global _added
    if _added is not None and _added + added < LIMIT // 20:
        _added += added
        return
    _added = 0
    found = []
    for folder, _, names in os.walk(private_folder() / "objects"):
        for name in names:
            path = os.path.join(folder, name)
            try:
                now = os.stat(path)
            except FileNotFoundError:  # another process is at it too
                continue
            found.append((now.st_mtime, now.st_size, path))
    total = sum(size for _, size, _ in found)
    for used, size, path in sorted(found):
        if total <= LIMIT or used > time.time() - IN_USE_SECONDS:
            return
        if _remove(path):
            total -= size


def _remove(path: str) -> bool:
    """Remove a copy unless somebody holds it open."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
        os.unlink(path)
    return True
