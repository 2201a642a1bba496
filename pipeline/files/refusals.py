"""What a machine refuses, by name: room on a disk, a folder where a file is in the way, open files, memory.

Whoever writes a file says where (`explained`). What a library raises elsewhere, often without a number or a place, is
named where the errors of tasks and commands arrive (`named`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DiskFull, SiftloomError, StoreError, TooLittleMemory, UserError
from pipeline.quantities import size

FULL = (errno.ENOSPC, errno.EDQUOT)
OPEN, MEMORY = (errno.EMFILE, errno.ENFILE), (errno.ENOMEM,)
DENIED, IN_THE_WAY = (errno.EACCES, errno.EPERM), (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
# of libraries that keep the number to themselves: those written in Rust and C++, numpy's `tofile`, `torch.save`
SAID = {
    errno.ENOSPC: r"No space left on device|os error 28\b|\d+ requested and \d+ written"
    r"|PytorchStreamWriter failed writing|inline_container.*unexpected pos",
    errno.EDQUOT: r"[Qq]uota exceeded|os error 122\b",
    errno.EROFS: r"Read-only file system|os error 30\b",
    errno.EMFILE: r"Too many open files|os error 24\b",
    errno.ENOMEM: r"Cannot allocate memory|failed to map segment|bad_alloc|can't start new thread",
}
FEW = 100  # files: a disk with room for no more of them is full with bytes to spare
KEPT = "then run the same command again: what is finished is kept"


@contextlib.contextmanager
def explained(folder: str | Path, kind: str = "store") -> Iterator[None]:
    """Turn what the machine refuses while something is written into a folder into named errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (*DENIED, errno.EROFS):
            raise _unwritable(f"{kind} {folder}", error) from error
        if found := named(error, str(folder), kind):
            raise found from error
        raise


def named(error: BaseException, folder: str, kind: str = "store") -> UserError | None:
    """Return the error by its name, None where it has one already or is none of the machine's. `folder` is where most
    is written.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, SiftloomError):
        if found := _found(_number(seen), seen, folder, kind):
            return found
        seen = getattr(seen, "cause", None) or seen.__cause__  # `cause` is Ray's
    return None


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    known = error.errno if isinstance(error, OSError) else None
    text = str(error)
    return known or next((number for number, said in SAID.items() if re.search(said, text, re.DOTALL)), None)


def _found(number: int | None, error: BaseException, folder: str, kind: str) -> UserError | None:
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if number in FULL:
        return _full(number, kind, folder)
    if number == errno.EROFS:
        return _unwritable(f"file {path}" if path else f"{kind} {folder}", error)
    if number == errno.ENAMETOOLONG:
        return StoreError(f"{kind} {folder}", "a path that is too long for its file system", "a shorter one",
                          "name another with --store")  # fmt: skip
    if number in IN_THE_WAY and path and (blocking := _blocking(path, number)):
        wanted = "a file" if os.path.isdir(blocking) else "a folder"
        return StoreError(str(blocking), "something else is in the way", wanted, f"move it away, {KEPT}")
    if number in DENIED and path and str(path).startswith(folder):
        return StoreError(str(path), "it cannot be read (permission denied)", "a store that is yours, or open to you",
                          "run as its owner, or name another with --store")  # fmt: skip
    if number in OPEN:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return UserError("this machine", f"too many open files (the limit of a process is {soft})", "a higher limit",
                         f"ulimit -n 65536, {KEPT}")  # fmt: skip
    if number in MEMORY:
        return _too_little_memory(error)
    return None


def _full(number: int | None, kind: str, folder: str) -> DiskFull:
    """The error of the store, or of the folder for temporary files where that has less room."""
    temporary = tempfile.gettempdir()
    if number != errno.EDQUOT and _usage(temporary)[0] < _usage(folder)[0]:
        kind, folder = "folder", temporary
    free, total = _usage(folder)
    room = f" ({size(free)} free of {size(total)})" if total else ""
    if total and (there := os.statvfs(_there(folder))).f_files and there.f_favail < FEW:
        room = f" (room for {there.f_favail} more files)"
    found = "the quota of this user is used up" if number == errno.EDQUOT else f"the disk is full{room}"
    return DiskFull(f"{kind} {folder}", found, "room to write", f"free space there, {KEPT}")


def _usage(folder: str) -> tuple[float, int]:
    """Bytes free and in all where a folder lies or will lie; of a URI nothing is known."""
    if "://" in folder:
        return float("inf"), 0
    usage = shutil.disk_usage(_there(folder))
    return usage.free, usage.total


def _there(folder: str) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (Path(folder), *Path(folder).absolute().parents) if each.exists())


def _unwritable(place: str, error: BaseException) -> StoreError:
    found = f"it cannot be written ({getattr(error, 'strerror', None) or error})"
    return StoreError(place, found, "a writable folder", "make it writable, or name another with --store")


def _blocking(path: str, number: int | None) -> Path | None:
    """What stands where a folder or a file should be: the path itself, or a file on the way to it."""
    if number == errno.EISDIR:
        return Path(path) if os.path.isdir(path) else None
    return next((each for each in (Path(path), *Path(path).parents) if each.is_file()), None)


def _too_little_memory(error: BaseException) -> TooLittleMemory:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    limit = "" if soft == resource.RLIM_INFINITY else f", and a process may have {size(soft)} (ulimit -v)"
    said = str(error).strip().splitlines() or ["no memory left"]
    then = "raise the limit, or run less at once (--cpus)"
    return TooLittleMemory("this machine", f"{said[-1]}{limit}", "memory for the task", f"{then}, {KEPT}")
