"""The files below a folder, or behind a glob, on a file system: links followed, and nothing passed over in silence.

A linked folder is read as if it lay there. Errors are: a link back to a folder above itself, which would never end; a
link to nothing; a pipe, socket or device, since reading one may wait for ever; a folder or file that may not be read;
and a name that is not UTF-8, which no recipe and no report can write down. Names that begin with a dot are left out.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.errors import SourceError

KINDS = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


Unusable = Callable[[str, SourceError], None]


def local_files(
    pattern: str, place: str, left_out: Callable[[str], bool] | None = None, unusable: Unusable | None = None
) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield (name relative to the folder, path, `stat`) of every file; `place` names the field in errors. `left_out`
    says of a path whether it is passed over; `unusable` takes a file that cannot be read, which raises otherwise.
    """
    pattern = os.path.expanduser(pattern)
    if os.path.isdir(pattern):
        root, paths = pattern, list(_walk(pattern, (_identity(pattern, place),), place))
    elif os.path.lexists(pattern):
        root, paths = os.path.dirname(pattern), [pattern]
    else:
        magic = next((i for i, part in enumerate(Path(pattern).parts) if glob.has_magic(part)), 0)
        root = str(Path(*Path(pattern).parts[:magic])) if magic else ""
        paths = [path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path)]
        for folder in dict.fromkeys(os.path.dirname(path) for path in paths):
            _no_circle(folder, place)
    for path in paths:
        name = os.path.relpath(path, root or ".")
        if any(part.startswith(".") for part in Path(name).parts if part not in ("..", ".")):
            continue
        if left_out is not None and left_out(os.path.abspath(path)):
            continue
        try:
            found = _utf8(Path(name).as_posix(), path, place), os.path.abspath(path), _file(path, place)
        except SourceError as error:
            if unusable is None:
                raise
            unusable(path, error)
            continue
        yield found


def _walk(folder: str, above: tuple[tuple[int, int], ...], place: str) -> Iterator[str]:
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        raise _unusable(folder, "a folder that may not be read", f"chmod u+rx on {_shown(folder)}", place) from None
    for entry in found:
        if entry.name.startswith("."):
            continue
        if not os.path.isdir(entry.path):  # False for a link in a circle, where `entry.is_dir` raises
            yield entry.path
            continue
        own = _identity(entry.path, place)
        if own in above:
            raise _unusable(entry.path, "a link to a folder that contains it", "remove the link", place)
        yield from _walk(entry.path, (*above, own), place)


def _no_circle(folder: str, place: str) -> None:
    """Raise `SourceError` when a link in the path leads back to a folder above it: a glob would follow it for long."""
    above = [_identity(str(part), place) for part in (Path(folder), *Path(folder).parents)]
    if len(set(above)) < len(above):
        raise _unusable(folder, "a link to a folder that contains it", "remove the link", place)


def _identity(folder: str, place: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _file(path: str, place: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise _unusable(path, "a link to nothing", "mend or remove the link", place) from None
    except PermissionError:
        raise _unusable(path, "a file in a folder that may not be read", "chmod u+rx on the folder", place) from None
    except OSError as error:  # links in a circle
        raise _unusable(path, str(error.strerror).lower(), "remove the link", place) from None
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in KINDS.items() if is_kind(found.st_mode)), "no file")
        raise _unusable(
            path, f"{kind}, where a read may wait for ever", "name the files, or use a narrower glob", place
        )
    if not os.access(path, os.R_OK):
        raise _unusable(path, "a file that may not be read", f"chmod u+r on {_shown(path)}", place)
    return found


def _utf8(name: str, path: str, place: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise _unusable(path, "a name that is not UTF-8", "rename it", place) from None
    return name


def _unusable(path: str, found: str, advice: str, place: str) -> SourceError:
    return SourceError(f"{place}: {_shown(path)}", found, "a file that can be read", advice)


def _shown(path: str) -> str:
    """The path for the eye, with what is not UTF-8 escaped."""
    return path.encode("utf-8", "backslashreplace").decode() if path.isascii() else ascii(path)[1:-1]
