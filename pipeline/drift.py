"""The code behind a node, as a hash: recorded, shown, never part of the identity.

A comment edit must not cost a week, so changed code does not re-run a finished node; it is a notice. A half-done node
is another matter: going on would mix two codes in one output, so `run` refuses unless told otherwise.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path

from pipeline.contract import Node

OURS = ("stages", "models")


@cache
def code_hash(node_class: type[Node]) -> str:
    """Hash of the module that defines a node and of all project modules it imports, 16 hex digits."""
    seen: dict[str, bytes] = {}
    todo = [node_class.__module__]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        path = _file_of(name)
        if path is None:
            continue
        seen[name] = path.read_bytes()
        todo += [found for found in _imports(seen[name], str(path)) if found.split(".")[0] in OURS]
    state = hashlib.sha256()
    for name in sorted(seen):
        state.update(name.encode() + b"\0" + hashlib.sha256(seen[name]).digest())
    return state.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded:
        return Path(loaded)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(code: bytes, path: str) -> list[str]:
    found = []
    for item in ast.walk(ast.parse(code, path)):
        if isinstance(item, ast.Import):
            found += [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            found += [item.module, *(f"{item.module}.{alias.name}" for alias in item.names)]
    return found
