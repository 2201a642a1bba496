"""`init` and `demo`: the first two things a newcomer types."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from siftloom.commands_run import CPUS, JSON
from siftloom.screen import say, say_json


def init(
    path: Annotated[str, typer.Argument(help="a file, a folder or a glob of your documents", metavar="PATH")],
    out: Annotated[str, typer.Option("--out", "-o", help="the recipe to write")] = "recipe.yaml",
    force: Annotated[bool, typer.Option("--force", help="replace a recipe that is there")] = False,
    as_json: JSON = False,
) -> None:
    """Look at your files and write a recipe for them."""
    from siftloom.init import look, write_recipe

    found = look(path)
    write_recipe(found, out, force)
    if as_json:
        say_json({"recipe": out, **found.to_json()})
        return
    for line in found.lines():
        say(line)
    say(f"\nwrote {out}\n  try it   siftloom run {out} --limit 10000\n  then     siftloom run {out}")


def demo(
    store: Annotated[str, typer.Option(help="where results are kept")] = "runs",
    cpus: CPUS = None,
    break_: Annotated[
        bool, typer.Option("--break", help="kill it in dedup and in training, go on, and prove the bytes equal")
    ] = False,
    as_json: JSON = False,
) -> None:
    """The whole main job on the embedded corpus: curate, train four small models, compare, export."""
    if break_:
        from siftloom.demo.broken import run_broken

        raise typer.Exit(run_broken(store, cpus, as_json, sys.stderr))
    from siftloom.demo.page import show
    from siftloom.demo.run import run_demo

    run, result = run_demo(store, cpus, sys.stderr)
    say_json(result) if as_json else show(run, result)
