"""Where the code of a module is, what it imports, and whose it is. Modules are found and read, none is imported.

The files of an installed distribution have a version, and those of the standard library that of Python. All others are
followed: our own, the user's, and packages that are installed as a link to their sources. So are files that lie among
the installed ones and belong to no distribution.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import RecipeError

OURS = ("pipeline", "stages", "models")  # followed where they are installed as a distribution, too
INSTALLED = ("site-packages", "dist-packages")
BY_NAME = re.compile(rb"""(?:import_module|__import__)\(\s*["']([\w.]+)["']\s*\)""")  # what is called when it is known
STANDARD = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")})


class Module(NamedTuple):
    """A module whose code is followed: its file, and the package that its relative imports start from."""

    name: str
    file: Path
    package: str


def module_of(name: str) -> Module | None:
    """The module, None where it is not found, or no file of its own holds it (a folder without `__init__.py`)."""
    spec = None if name == "__main__" else _spec(name)  # which is the script that runs, whatever the path leads to
    file = spec.origin if spec else getattr(sys.modules.get(name), "__file__", None)
    if not file or not Path(file).is_file():
        return None
    is_package = Path(file).name.startswith("__init__.")
    return Module(name, Path(file), name if is_package else name.rpartition(".")[0])


def is_found(name: str) -> bool:
    """Whether there is a module of this name."""
    return _spec(name) is not None or name in sys.modules


@cache
def libraries_of(top: str) -> tuple[str, ...] | None:
    """Names of the distributions that a top-level module belongs to, none for the standard library; None for a module
    that is followed, and for one that is not found.
    """
    if top in OURS:
        return None
    spec = _spec(top)
    if spec is None:
        return None
    if spec.origin in ("built-in", "frozen"):
        return ()
    place = Path(spec.origin or next(iter(spec.submodule_search_locations or ()), "")).resolve()
    if any(part in INSTALLED for part in place.parts):
        return _distributions(top, place) or None
    return () if str(place).startswith(STANDARD) else None


def _distributions(top: str, place: Path) -> tuple[str, ...]:
    """The distributions whose files hold the module. Most are called as it is, or begin so (`fasttext-community`)."""
    try:
        return (metadata.distribution(top).metadata["Name"],)
    except metadata.PackageNotFoundError:
        pass
    root = next(parent for parent in place.parents if parent.name in INSTALLED)
    near = [metadata.Distribution.at(found) for found in sorted(root.glob(f"{top}*-info"))]
    names = tuple(found.metadata["Name"] for found in near if _holds(found, top))
    return names or tuple(sorted(set(metadata.packages_distributions().get(top, ()))))


def _holds(distribution: metadata.Distribution, top: str) -> bool:
    return any(file.parts[0].partition(".")[0] == top for file in distribution.files or ())


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Return where a module is, without importing the packages above it: the driver needs neither numba nor torch."""
    above, _, last = name.rpartition(".")
    if not above:
        return _top(name)
    package = _spec(above)
    inside = package.submodule_search_locations if package else None
    if not inside:
        return None
    try:
        return PathFinder.find_spec(name, list(inside))
    except KeyError:  # a folder without `__init__.py` is found through the package above it, once that is imported
        found = ModuleSpec(name, None, is_package=True)
        found.submodule_search_locations = [str(Path(at, last)) for at in inside if Path(at, last).is_dir()]
        return found


def _top(name: str) -> ModuleSpec | None:
    """Return where a top-level module would be imported from today. One that was loaded from elsewhere, by a notebook
    or a test, is where it was loaded from.
    """
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, None)
        except (ImportError, ValueError, AttributeError):  # left out in this process, or a finder of an old kind
            continue
        if found is not None:
            return found
    return getattr(sys.modules.get(name), "__spec__", None)


def forget() -> None:
    """Look for modules again: files may have come, gone or moved since."""
    importlib.invalidate_caches()
    _spec.cache_clear()
    libraries_of.cache_clear()


def above(name: str) -> Iterator[str]:
    """The packages above a module, whose `__init__` runs before it."""
    while name := name.rpartition(".")[0]:
        yield name


@cache
def imports(code: bytes, path: str, package: str) -> tuple[str, ...]:
    """Modules that a file of a package imports, and names that it imports from modules, which may be modules too.

    Raises RecipeError for a file that is no Python.
    """
    found = [name.decode() for name in BY_NAME.findall(code)]
    try:
        todo: list[ast.AST] = [ast.parse(code, path)]
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise RecipeError(f"{path}:{line}", f"{getattr(error, 'msg', error)}", "a module of Python") from None
    while todo:
        item = todo.pop()
        if isinstance(item, ast.Import):
            found += [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - item.level] if item.level else []
            module = ".".join([*parents, *([item.module] if item.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in item.names if alias.name != "*")]
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):  # no import stands inside an expression
            inside = getattr(item, part, ())
            todo += inside if isinstance(inside, list) else ()
    return tuple(found)


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """The installed versions."""
    return {name: metadata.version(name) for name in sorted(distributions)}
