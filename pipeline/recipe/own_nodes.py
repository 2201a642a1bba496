"""Nodes of the user's own, which a recipe names by their place: `use: my_nodes:LongEnough`."""

from __future__ import annotations

import importlib
import sys
import traceback

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.recipe.tree import nearest

NODE = "a frozen dataclass that derives from `Node` or `RowNode` of pipeline.contract"


def is_place(use: object) -> bool:
    """Whether `use` is the place of a class, and not the name of a kind."""
    return isinstance(use, str) and ":" in use


def own_node(place: str) -> type[Node]:
    """Return the class at `module:Class`. Raises RecipeError for a place that holds no node."""
    module, _, name = place.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise RecipeError("use", f"{place!r}", "module:Class")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _raised(module, error) from error
        raise RecipeError(
            "use", f"no module {error.name!r} in the working folder, nor on the path of Python",
            "a module that this process and every worker can import",
            "run from the folder that holds it, or install its package",
        ) from None  # fmt: skip
    except Exception as error:  # whatever the user's module raises is reported as that module's
        raise _raised(module, error) from error
    if found is None:
        there = [key for key, value in vars(sys.modules[module]).items() if _is_node(value)]
        raise RecipeError("use", f"no class {name!r} in the module {module}{nearest(name, there)}", NODE)
    if not _is_node(found):
        raise RecipeError("use", f"{place} is no node", NODE)
    return found


def place_of(cls: type) -> str | None:
    """Return the `module:Class` by which another process finds a class, None for one that it cannot find."""
    module = sys.modules.get(cls.__module__)
    if cls.__module__ == "__main__" or getattr(module, cls.__name__, None) is not cls:
        return None
    return f"{cls.__module__}:{cls.__name__}"


def _is_node(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Node) and "__dataclass_fields__" in vars(value)


def _raised(module: str, error: Exception) -> RecipeError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else f"{frame.filename}:{frame.lineno}"
    said = error.msg if isinstance(error, SyntaxError) else error
    return RecipeError("use", f"{module} cannot be imported: {type(error).__name__}: {said} at {where}", "a module")
