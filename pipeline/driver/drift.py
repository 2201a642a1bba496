"""The code behind a node, as a hash, and the versions of the libraries in it: recorded, shown, never the identity.

A comment edit must not cost a week, so changed code does not re-run a finished node; it is a notice. A half-done node
is another matter: going on would mix two codes in one output, so `run` refuses unless `--accept-drift` allows it. What
another node has done is taken over from equal code under equal versions only.

The code behind a node is every file that its module reaches by imports, and that is no installed library's
(`pipeline.driver.modules`), with the data files of those packages; from each library it is the version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.contract import Node
from pipeline.driver import modules
from pipeline.driver.modules import Module
from pipeline.errors import RecipeError
from pipeline.fingerprint import canonical_json

# Libraries that move, bound, show or watch values and make none: their versions decide no byte.
CARRIERS = frozenset({
    "ray", "obstore", "isal", "requests", "urllib3", "filelock", "psutil", "pydantic", "annotated-types",
    "typing-extensions", "tensorboardx", "wandb", "mlflow", "mlflow-skinny", "typer", "rich", "jinja2", "siftloom",
})  # fmt: skip
QUOTED = re.compile(rb"""["']([^"'\n\\]{1,200})["']""")
NOTE = "scratch/code"  # of an unfinished node: the code that it began with
LARGE = 64 * 1024**2  # bytes of a data file that stands for itself by size and time


class CodeIdentity(NamedTuple):
    """What is compared."""

    digest: str  # of the files, 16 hex digits
    libraries: Mapping[str, str]  # distribution -> version, Python among them
    mixed: bool = False  # a node that not all of one code has made: nothing is like it

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> CodeIdentity:
        return cls(manifest["code"], manifest["libraries"], manifest["mixed"])

    @classmethod
    def from_bytes(cls, data: bytes) -> CodeIdentity:
        return cls(**json.loads(data))

    def to_bytes(self) -> bytes:
        return canonical_json(self._asdict())

    def changes(self, now: CodeIdentity) -> str:
        """What differs now, in words; empty where nothing does."""
        if self.mixed:
            return "its code has changed while it was made, or"
        before = self.libraries
        found = [
            f"{name} was {before.get(name, 'not there')} and is {now.libraries.get(name, 'not there')}"
            for name in sorted(before.keys() | now.libraries.keys())
            if before.get(name) != now.libraries.get(name)
        ]
        return ", ".join(["its code has changed"] * (self.digest != now.digest) + found)


def code_of(node: Node) -> CodeIdentity:
    """The code behind a node today. Raises RecipeError for modules of its `code()` that are not found."""
    check_code(node)
    digest, libraries, _ = code_behind(*_start(node))
    unfiled = [_source(cls) for cls in _classes(node) if modules.module_of(cls.__module__) is None]
    if unfiled:
        digest = hashlib.sha256(canonical_json([digest, *unfiled])).hexdigest()[:16]
    return CodeIdentity(digest, libraries)


def code_behind(*names: str) -> CodeIdentity:
    """The code behind modules today."""
    digest, libraries, _ = _walked(tuple(sorted(names)))
    return CodeIdentity(digest, libraries)


def check_code(node: Node) -> None:
    """Raise RecipeError where a module that the node names is not found: a change in it would not be seen."""
    for name in node.code():
        if not modules.is_found(name):
            raise RecipeError(
                node.kind(), f"no module {name!r} in the working folder, nor on the path of Python",
                "a module that this process and every worker can import",
                "run from the folder that holds it, or install its package",
            )  # fmt: skip


def as_seen(node: Node) -> bool:
    """Whether the files behind the node are those that `code_of` saw last: workers may have imported others since."""
    return all(_state(path) == state for path, state in _walked(_start(node)).files.items())


def look_again() -> None:
    """Forget what was seen of the code: a process may run twice, and its user edits in between."""
    modules.forget()
    _read.cache_clear()
    _walked.cache_clear()


def edited() -> bool:
    """Whether files have changed since this process saw them first, or since `begin_anew`: processes that began before
    may hold the modules of old ones.
    """
    return any(_state(path) != state for path, state in _began_with.items())


def begin_anew() -> None:
    """Take files for what they are now: workers that begin from here on read them so."""
    _began_with.clear()


def _start(node: Node) -> tuple[str, ...]:
    return tuple(sorted({cls.__module__ for cls in _classes(node)} | set(node.code())))


def _classes(node: Node) -> list[type]:
    """The class of the node, and those of the values in its fields, which may be the user's."""
    found: dict[type, None] = {}
    todo: list[Any] = [node]
    while todo:
        value = todo.pop()
        if isinstance(value, Node) and value is not node:
            continue  # it has a manifest of its own
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found[type(value)] = None
            todo += [getattr(value, field.name) for field in dataclasses.fields(value)]
        elif isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
    return list(found)


def _source(cls: type) -> str:
    """The source of a class that no file holds: a notebook keeps it; of `python -c` nothing is known."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return cls.__qualname__


_began_with: dict[Path, Any] = {}  # files, and the state in which this process has seen them first


class _Walked(NamedTuple):
    digest: str
    libraries: dict[str, str]
    files: dict[Path, Any]  # and the state in which they were read


class _Read(NamedTuple):
    imports: tuple[str, ...]
    digests: dict[str, str]  # of the module, and of the data files beside it
    files: dict[Path, Any]


@cache
def _read(name: str) -> _Read | None:
    """What stands in a module, None where no file holds it."""
    module = modules.module_of(name)
    if module is None:
        return None
    files = {module.file: _state(module.file)}
    code = module.file.read_bytes()
    digests = {name: hashlib.sha256(code).hexdigest()}
    if module.file.suffix != ".py":
        return _Read((), digests, files)
    for path in _data_files(module, code):
        files[path] = _state(path)
        digests[f"{name}/{path.relative_to(module.file.parent).as_posix()}"] = _digest(path)
    return _Read(modules.imports(code, str(module.file), module.package), digests, files)


@cache
def _walked(start: tuple[str, ...]) -> _Walked:
    """Hash of all files behind these modules, and the versions of the libraries behind them."""
    seen: dict[str, str] = {}
    files: dict[Path, Any] = {}
    libraries: set[str] = set()
    visited: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name in visited:
            continue
        visited.add(name)
        owners = modules.libraries_of(name.partition(".")[0])
        if owners is not None:
            libraries.update(owner for owner in owners if owner.lower() not in CARRIERS)
            continue
        todo += modules.above(name)
        found = _read(name)
        if found is not None:
            todo += found.imports
            seen |= found.digests
            files |= found.files
    for path, state in files.items():
        _began_with.setdefault(path, state)
    versions = {"python": platform.python_version(), **modules.versions(sorted(libraries))}
    return _Walked(hashlib.sha256(canonical_json(seen)).hexdigest()[:16], versions, files)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _data_files(module: Module, code: bytes) -> list[Path]:
    """The files that a module may read: all that lie beside a module of a package, and those whose name stands in its
    text, in folders whose name stands there too.
    """
    names = {part for text in QUOTED.findall(code) for part in text.decode(errors="ignore").split("/")}
    inside = [path for path in module.file.parent.iterdir() if path.suffix not in (".py", ".pyi")]
    return sorted(_named(inside, names, everything=bool(module.package)))


def _named(paths: Iterable[Path], names: set[str], everything: bool) -> Iterator[Path]:
    for path in paths:
        named = path.name in names
        if path.name.startswith((".", "__pycache__")) or not (named or everything):
            continue  # a working folder may hold many files: of most no more than the name is looked at
        if not path.is_dir():
            yield path
        elif named and not (path / "__init__.py").exists():
            yield from _named(path.iterdir(), names, everything)


def _digest(path: Path) -> str:
    stat = path.stat()
    if stat.st_size > LARGE:
        return f"{stat.st_size} bytes of {stat.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
