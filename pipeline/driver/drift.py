"""The code behind a node, as a hash: recorded, shown, never part of the identity.

A comment edit must not cost a week, so changed code does not re-run a finished node; it is a notice. A half-done node
is another matter: going on would mix two codes in one output, so `run` refuses unless `--accept-drift` allows it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from pipeline.contract import Node

OURS = ("stages", "models")


@cache
def code_hash(node_class: type[Node], more: tuple[str, ...] = ()) -> str:
    """Hash of the module that defines a node, of `more` modules, and of what they import of the project and of their
    own packages, 16 hex digits.
    """
    seen: dict[str, bytes] = {}
    todo = [node_class.__module__, *more]
    own = {*OURS, *(name.partition(".")[0] for name in todo)}
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        path = _file_of(name)
        if path is None:
            continue
        seen[name] = path.read_bytes()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo += [found for found in _imports(seen[name], str(path), package) if found.partition(".")[0] in own]
    state = hashlib.sha256()
    for name in sorted(seen):
        state.update(name.encode() + b"\0" + hashlib.sha256(seen[name]).digest())
    return state.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded:
        return Path(loaded)
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _spec(module: str) -> ModuleSpec | None:
    """Return where a module is, without importing the packages above it: the driver needs neither numba nor torch."""
    above, _, _ = module.rpartition(".")
    if not above:
        try:
            return find_spec(module)
        except ValueError:  # `__main__` of a notebook or of `python -c`, which no file holds
            return None
    package = _spec(above)
    inside = package.submodule_search_locations if package else None
    if not inside:
        return None
    try:
        return PathFinder.find_spec(module, inside)
    except KeyError:  # a folder without `__init__.py` is found through the package above it, once that is imported
        found = ModuleSpec(module, None, is_package=True)
        name = module.rpartition(".")[2]
        found.submodule_search_locations = [str(Path(at, name)) for at in inside if Path(at, name).is_dir()]
        return found


@cache
def _imports(code: bytes, path: str, package: str) -> tuple[str, ...]:
    """Modules that a file of a package imports, and names that it imports from modules, which may be modules too."""
    found: list[str] = []
    todo: list[ast.AST] = [ast.parse(code, path)]
    while todo:
        item = todo.pop()
        if isinstance(item, ast.Import):
            found += [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - item.level] if item.level else []
            module = ".".join([*above, *([item.module] if item.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in item.names)]
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):  # no import stands inside an expression
            inside = getattr(item, part, ())
            todo += inside if isinstance(inside, list) else ()
    return tuple(found)
