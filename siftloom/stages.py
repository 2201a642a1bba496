"""Every node of the catalogue by its class name: `from siftloom import stages as s`, then `s.Read(...)`.

A class is imported when it is first asked for.
"""

from __future__ import annotations

from typing import Any

from stages.catalog import NODES, load

_KINDS = {place.partition(":")[2]: kind for kind, place in NODES.items()}


def __getattr__(name: str) -> Any:
    if name not in _KINDS:
        raise AttributeError(f"no node class {name!r}; there are {', '.join(sorted(_KINDS))}")
    return load(_KINDS[name])


def __dir__() -> list[str]:
    return sorted(_KINDS)
