"""`verify`, `clean`, `doctor`, `schema`: the store, the environment, and what a recipe may say."""

from __future__ import annotations

from typing import Annotated

import typer

from siftloom.cli.look import RUN
from siftloom.cli.run import JSON, STORE
from siftloom.screen import begin, find_store, say, say_json


def verify(
    run: RUN,
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Check every file of a run against its SHA-256. The next `run` rebuilds damaged files."""
    begin(f"checking every file of {run}", as_json=as_json)
    from dataclasses import asdict

    from pipeline.driver.verify import verify as check
    from siftloom.ask.runs import find_run

    place, name = find_run(run, store)
    findings = check(place, name)
    if as_json:
        say_json({"run": name, "store": str(place), "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding}{f' ({finding.note})' if finding.note else ''}")
        mended = sum(finding.withdrawn for finding in findings)
        rest = "them" if mended == len(findings) else f"{mended} of them, the others need what is said there"
        say(
            f"{len(findings)} files are damaged; siftloom run rebuilds {rest}"
            if findings else f"{name}: every file agrees with its receipt"
        )  # fmt: skip
    raise typer.Exit(1 if findings else 0)


def clean(
    store: STORE = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what would be removed; remove nothing")] = False,
    as_json: JSON = False,
) -> None:
    """Remove results that no run uses. A node that a driver works on is left alone."""
    from dataclasses import asdict

    from pipeline.driver.clean import clean as sweep
    from pipeline.quantities import size

    place = find_store(store)
    gone = sweep(place, dry_run=dry_run)
    if as_json:
        say_json({"store": str(place), "dry_run": dry_run, "removed": [asdict(unused) for unused in gone]})
        return
    for unused in gone:
        say(f"{'would remove' if dry_run else 'removed'} {unused.name}, {size(unused.bytes)}")
    say(f"{place}: {len(gone)} results, {size(sum(unused.bytes for unused in gone))}")


def doctor(
    store: STORE = None,
    address: Annotated[str | None, typer.Option(help="check the nodes of this Ray cluster too")] = None,
    as_json: JSON = False,
) -> None:
    """Check modules, versions, memory and disk, and whether each node of a cluster reaches the store."""
    begin("looking at this machine", as_json=as_json)
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
    from siftloom.vocabulary import vocabulary

    found = make(vocabulary())
    if as_json:
        say_json(found)
    else:
        say(json.dumps(found, indent=1, ensure_ascii=False))
