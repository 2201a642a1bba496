"""`verify`, `clean`, `doctor`, `schema`: the store, the environment, and the words of a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from siftloom.commands_run import JSON, STORE
from siftloom.screen import find_store, say, say_json


def verify(
    run: Annotated[str, typer.Argument(help="a run's name, its folder, or its recipe", metavar="RUN")],
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Check every file of a run against its SHA-256; the next `run` makes again what is damaged."""
    from pipeline.store import verify as check
    from siftloom.runs import find_run

    place, name = find_run(run, store)
    findings = check(place, name)
    if as_json:
        say_json({"run": name, "store": place, "findings": findings})
    else:
        for finding in findings:
            say(str(finding))
        if findings:
            say(f"{len(findings)} damaged; their receipts are withdrawn. `siftloom run` makes them again.")
        else:
            say(f"{name}: every file is as its receipt says")
    raise typer.Exit(1 if findings else 0)


def clean(store: STORE = None, as_json: JSON = False) -> None:
    """Remove the results that no run names; a node that a driver holds is left alone."""
    from pipeline.store import clean as sweep

    place = find_store(store)
    removed = sweep(place)
    if as_json:
        say_json({"store": place, "removed": removed})
        return
    for name in removed:
        say(f"removed {name}")
    say(f"{place}: {len(removed)} results removed")


def doctor(
    store: STORE = None,
    address: Annotated[str | None, typer.Option(help="a Ray cluster whose nodes are tried")] = None,
    as_json: JSON = False,
) -> None:
    """Check the environment: modules, versions, memory, disk, and that each node of a cluster reaches the store."""
    from siftloom.doctor import examine, show

    findings = examine(find_store(store), address)
    if as_json:
        say_json({"findings": findings})
    else:
        show(findings)
    raise typer.Exit(1 if any(finding["state"] == "bad" for finding in findings) else 0)


def schema(as_json: JSON = False) -> None:
    """Print the JSON Schema of recipes, for editors."""
    import json

    from pipeline.recipe.schema import schema as make
    from siftloom.words import words

    found = make(words())
    if as_json:
        say_json(found)
    else:
        say(json.dumps(found, indent=1, ensure_ascii=False))
