"""Which run a word on the command line means."""

from __future__ import annotations

from pathlib import Path

from siftloom.screen import find_store


def find_run(text: str, store: str | None) -> tuple[str, str]:
    """(store, name) of a run given by its recipe, by its folder in a store, or by its name.

    A name is looked for in `--store`, else in `$SIFTLOOM_STORE`, else in `runs`.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        from pipeline.recipe import load
        from siftloom.words import words

        recipe = load(path, words())
        return find_store(store, recipe.located_store, recipe.store), recipe.name
    if store is None and (path / "run.json").is_file():
        folder = path.absolute()
        return str(folder.parent.parent), folder.name
    return find_store(store), text
