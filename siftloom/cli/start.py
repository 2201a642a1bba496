"""`init` and `demo`: the first two commands of a new user."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from siftloom.cli.run import CPUS, JSON, check_cpus
from siftloom.screen import note, say, say_json


def init(
    path: Annotated[str, typer.Argument(help="a file, a folder or a glob of your documents", metavar="PATH")],
    out: Annotated[str, typer.Option("--out", "-o", help="the recipe to write")] = "recipe.yaml",
    force: Annotated[bool, typer.Option("--force", help="replace an existing recipe")] = False,
    from_dclm: Annotated[
        str | None, typer.Option("--from-dclm", help="take the curation of this YAML file of DCLM's", metavar="FILE")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Look at your files and write a recipe for them."""
    from siftloom.begin.dclm import translate
    from siftloom.begin.init import CURATED, first_limit, summary, write_recipe
    from siftloom.begin.look import look

    dclm = None if from_dclm is None else translate(from_dclm)
    found = look(path, note=note)
    write_recipe(found, out, force, dclm)
    if as_json:
        say_json({"recipe": out, "limit": first_limit(found), **found.to_json()})
        return
    for line in [*summary(found), *(f"  note       {one}" for one in dict.fromkeys(dclm.notes if dclm else ()))]:
        say(line)
    say(f"\nwrote {out}")
    run = shlex.join(["siftloom", "run", out, CURATED])
    say(f"  try it     {run} --limit {first_limit(found)}")
    say(f"  then       {run}")


def demo(
    store: Annotated[str, typer.Option(help="where results are kept")] = "runs",
    cpus: CPUS = None,
    break_: Annotated[
        bool,
        typer.Option("--break", help="kill a second run in dedup and in training, resume it, compare every byte"),
    ] = False,
    as_json: JSON = False,
) -> None:
    """Run everything on the embedded corpus: curate, train four small models, compare and export them."""
    check_cpus(cpus)
    if break_:
        from siftloom.demo.broken import run_broken

        raise typer.Exit(run_broken(store, cpus, as_json, sys.stderr))
    from pipeline.driver.options import Options
    from siftloom.demo.page import show
    from siftloom.demo.run import run_demo

    run, result = run_demo(store, Options(cpus=cpus), sys.stderr)
    say_json(result) if as_json else show(run, result)
