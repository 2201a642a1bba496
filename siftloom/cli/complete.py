"""What the shell's TAB key offers behind a command: runs of the store, recipes of the folder, nodes of a run or recipe.

`siftloom --install-completion` asks for it. A mistake in a line that is still being typed is no error, so nothing is
offered then; nor is anything of a store behind a network, which would stop the typing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from pipeline.errors import SiftloomError
from siftloom.screen import find_store

RECIPES = ("*.yaml", "*.yml", "recipes/*.yaml")


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the runs of the store, then the recipes here."""
    return [*_beginning(_runs(context), incomplete), *recipes(incomplete)]


def stored_runs(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the runs of the store, for an option that takes no recipe."""
    return _beginning(_runs(context), incomplete)


def recipes(incomplete: str) -> list[str]:
    """Offer the recipes of this folder and of `recipes/`."""
    return _beginning(sorted(str(path) for form in RECIPES for path in Path().glob(form)), incomplete)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the nodes of the run or the recipe that stands before in the line."""
    named = str(context.params.get("run") or context.params.get("recipe") or "")
    chosen = context.params.get("nodes") or context.params.get("arms") or ()
    return _beginning([name for name in _nodes(named, context) if name not in chosen], incomplete)


def kinds(incomplete: str) -> list[str]:
    """Offer the nodes of the catalogue."""
    from stages.catalog import NODES

    return _beginning(NODES, incomplete)


def _nodes(named: str, context: typer.Context) -> list[str]:
    from pipeline.files.open_store import open_store
    from pipeline.recipe.tree import compose, plain
    from pipeline.results.run_record import read_run, resolve

    try:
        if named.endswith((".yaml", ".yml")):
            found = plain(compose(Path(named).read_text("utf-8"), named))
            return [*found["nodes"]]
        folder = Path(named) if (Path(named) / "run.json").is_file() else None
        store = open_store(str(folder.absolute().parent.parent)) if folder else open_store(_store(context) or "")
        name = folder.name if folder else resolve(store, named)
        record = read_run(store, name) if name else None
        return [*record["nodes"]] if record else []
    except (SiftloomError, OSError, UnicodeError, TypeError, KeyError):
        return []


def _runs(context: typer.Context) -> list[str]:
    from pipeline.files.open_store import open_store

    try:
        store = _store(context)
        return sorted(open_store(store).names("runs")) if store else []
    except (SiftloomError, OSError):
        return []


def _store(context: typer.Context) -> str | None:
    """The folder of the store that the line or else the environment names; None where there is none on this machine."""
    address = find_store(context.params.get("store"))
    return None if address.remote or not Path(address).is_dir() else str(address)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
