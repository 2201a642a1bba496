"""Local copies of objects, for readers that need a file: private to the user, bounded, checked when written.

They lie in `$SIFTLOOM_CACHE`, else in `siftloom-<user id>` in the folder for temporary files. The folder must be the
user's own and closed to others: in another user's folder, that user's file would pass for the store's.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

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
    path = private_folder() / "objects" / key[:2] / key / os.path.basename(name)
    try:
        os.utime(path)  # of several copies the one that was not asked for the longest goes first
        return path
    except FileNotFoundError:
        pass
    fresh = folder / uuid.uuid4().hex
    try:
        fetch(fresh)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    _keep_bounded(path.stat().st_size)
    return path


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
        Path(path).unlink(missing_ok=True)
        total -= size
