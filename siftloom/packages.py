"""Our top-level packages have common names; a user's file of such a name must not take their place.

`pipeline`, `stages`, `models` and `recipes` are found where `siftloom` itself is, whatever stands before that on the
path.

The working folder stands first on the path of every command and of a pipeline in Python, as it does on that of every
worker of Ray: a console script would have its own folder there, and a script in Python that of its file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

HOME = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "stages", "models", "recipes")


class _Finder:
    """Finds our packages, and no others, in `HOME`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(HOME)]) if name in PACKAGES else None


def put_first() -> None:
    """Let imports of our packages find ours. Call it before any of them is imported."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]


def working_folder_first() -> None:
    """Let imports look into the working folder first, as workers do: the driver must see the code that they run."""
    folder = os.getcwd()
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in ("", folder))]


def shadowed() -> list[Path]:
    """Return files and folders that stand before ours on the path and would be imported in their place."""
    found: list[Path] = []
    for entry in sys.path:
        folder = Path(entry or ".").resolve()
        if folder == HOME:
            break
        for name in PACKAGES:
            places = (folder / f"{name}.py", folder / name)
            found += [place for place in places if place.is_file() or (place / "__init__.py").is_file()]
    return found


def leave_out(name: str) -> None:
    """Let this process do without a package that others use where it is installed, and that takes long to import."""

    class LeftOut(MetaPathFinder):
        def find_spec(self, fullname: str, path: object, target: object = None) -> None:
            if fullname == name:
                raise ModuleNotFoundError(f"{name} is left out here", name=name)

    sys.meta_path.insert(0, LeftOut())
