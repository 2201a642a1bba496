"""`run`, `plan`, `submit`: do the work, show what there is to do, or send it to a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UserError
from siftloom.cli import complete
from siftloom.screen import begin, find_store, listening, say, say_json, table

if TYPE_CHECKING:
    from pipeline.graph import Graph

RECIPE = Annotated[str, typer.Argument(help="recipe, a YAML file", metavar="R.yaml", autocompletion=complete.recipes)]
NODES = Annotated[
    list[str] | None,
    typer.Argument(
        help="nodes to run, with the nodes that they need; default: all nodes",
        metavar="[NODE]...",
        autocompletion=complete.nodes,
    ),
]
SET = Annotated[
    list[str] | None, typer.Option("-s", "--set", help="change a field: -s node.field=value", metavar="N.F=V")
]
STORE = Annotated[str | None, typer.Option(help="where results are kept: a folder or a URI")]
CPUS = Annotated[int | None, typer.Option(help="CPUs of the local Ray; default: all of this machine", min=1)]
ADDRESS = Annotated[str | None, typer.Option(help="a Ray cluster to run on; RAY_ADDRESS works too")]
LIMIT = Annotated[int | None, typer.Option(help="read at most this many documents of each `read`", min=1)]
HERE = Annotated[
    bool | None,
    typer.Option(
        "--here/--on-ray",
        help="do the work in this process, one task after the other, or on Ray; default: on Ray, and in this process "
        "where --limit leaves less work than Ray's start",
    ),
]
NAMED = 5  # files that `plan` names
JSON = Annotated[bool, typer.Option("--json", help="print JSON")]


def check_cpus(cpus: int | None, address: str | None = None) -> None:
    """Raise UserError for more CPUs than this machine has; a cluster says itself how many it has."""
    here = os.cpu_count() or 1
    if cpus is not None and cpus > here and not (address or os.environ.get("RAY_ADDRESS")):
        raise UserError(
            f"--cpus {cpus}", f"a machine of {here} CPUs", f"1 to {here}", "leave out --cpus to use them all"
        )


def check_here(here: bool | None, cpus: int | None, address: str | None) -> None:
    """Raise UserError for options of Ray beside `--here`."""
    for name, value in (("--cpus", cpus), ("--address", address)):
        if here and value is not None:
            raise UserError("--here", f"{name} beside it", "one of the two", f"leave out {name}, which is for Ray")


def started_by(recipe: str, change: list[str] | None, limit: int | None, here: bool | None) -> tuple[str, ...]:
    """Return the command that runs all of a recipe again, from any folder, into a store that is yet to be named."""
    changes = (word for one in change or () for word in ("-s", one))
    place = () if here is None else ("--here",) if here else ("--on-ray",)
    return ("siftloom", "run", os.path.abspath(recipe), *changes, *(("--limit", str(limit)) if limit else ()), *place)


def documents_of(graph: Graph, limit: int | None) -> int | None:
    """Return how many documents the sources give at most, where `--limit` says it for all of them."""
    bases = [node for node in graph.nodes if node.new_base is not None and not graph.input_chains(node)]
    return None if limit is None or any(node.kind() != "read" for node in bases) else limit * len(bases)


def run(
    recipe: RECIPE,
    nodes: NODES = None,
    change: SET = None,
    store: STORE = None,
    cpus: CPUS = None,
    address: ADDRESS = None,
    limit: LIMIT = None,
    here: HERE = None,
    wait: Annotated[bool, typer.Option(help="wait for a node that another driver holds")] = True,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="resume unfinished nodes whose code has changed")
    ] = False,
    remark: Annotated[
        str | None, typer.Option("--note", help="a note of yours, shown by `runs` and `ui`", metavar="TEXT")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Run a recipe. Run the same command again to resume."""
    begin(f"reading {recipe}", as_json=as_json)
    from pipeline.driver.execute import Options
    from pipeline.recipe import dump
    from siftloom import result
    from siftloom.recipe import open_recipe
    from siftloom.run import execute
    from siftloom.vocabulary import vocabulary

    check_here(here, cpus, address)
    check_cpus(cpus, address)
    found, graph = open_recipe(recipe, nodes or (), change or (), limit)
    place = find_store(store, found.located_store, found.store)
    changed = bool(change) or limit is not None
    text = dump(graph.nodes, graph.names, vocabulary(), name=found.name, store=str(place)) if changed else found.text
    stream = sys.stdout if as_json else sys.stderr
    with listening(place, found.name, stream=stream, as_json=as_json) as watcher:
        done = execute(
            graph,
            name=found.name,
            store=place,
            options=Options(
                cpus=cpus,
                address=address,
                here=False if here is None and (limit is None or cpus is not None) else here,
                documents=documents_of(graph, limit),
                wait=wait,
                accept_drift=accept_drift,
                command=started_by(recipe, change, limit, here),
                note=remark,
            ),
            recipe=text,
            watcher=watcher,
        )
    page = done.report()
    made = result.result(done)
    if as_json:
        say_json({"event": "result", "run": done.name, "store": str(place), "report": str(page), **made})
        return
    result.show(made)
    say(f"\n{done.name} is finished")
    most = result.most_removing(done)
    rows = [
        ("report", page),
        *made["outputs"].items(),
        *((("next", shlex.join(["siftloom", "removed", done.name, most, "--store", str(place)])),) if most else ()),
        ("" if most else "next", shlex.join(["siftloom", "ui", str(place), "--open"])),
    ]
    width = max(len(label) for label, _ in rows)
    for label, where in rows:
        say(f"  {label:{width}}  {where}")


def plan(
    recipe: RECIPE,
    nodes: NODES = None,
    change: SET = None,
    store: STORE = None,
    limit: LIMIT = None,
    as_json: JSON = False,
) -> None:
    """Show for each node whether it is reused, resumed or run, and why. Runs nothing."""
    begin(f"reading {recipe}", as_json=as_json)
    from pipeline.driver.plan import plan as make
    from pipeline.quantities import size
    from siftloom.ask.unread import unread
    from siftloom.recipe import open_recipe

    found, graph = open_recipe(recipe, nodes or (), change or (), limit)
    place = find_store(store, found.located_store, found.store)
    made = make(graph, place, found.name)
    forgotten = unread(graph, place)
    if as_json:
        say_json(made.to_json() | {"unread": forgotten})
        return
    rows = []
    for entry in made.entries:
        todo = entry.action != "reuse"
        joins = ", ".join(map(str, entry.passes)) if todo else ""
        rows.append(
            (entry.name, entry.kind, entry.action, joins, size(entry.bytes) if todo else "",
             size(entry.memory) if todo else "", entry.why)
        )  # fmt: skip
        rows += [("", "", "", "", "", "", notice) for notice in entry.notices]
    table(("node", "kind", "action", "pass", "writes", "memory", "why"), rows, right=(3, 4, 5))
    say(f"writes about {size(made.bytes)} to {place}; the largest task needs about {size(made.memory)}")
    if forgotten:
        more = f" and {len(forgotten) - NAMED:,} more" if len(forgotten) > NAMED else ""
        say(f"no node reads {', '.join(forgotten[:NAMED])}{more}, beside the files that are read")


def submit(
    recipe: RECIPE,
    nodes: NODES = None,
    address: Annotated[str | None, typer.Option(help="the job server, http://HEAD:8265")] = None,
    store: STORE = None,
    change: SET = None,
    working_dir: Annotated[str, typer.Option(help="the folder that is sent to the cluster")] = ".",
    send: Annotated[
        list[str] | None, typer.Option(help="send this file of the folder although it looks private", metavar="FILE")
    ] = None,
    wait: Annotated[bool, typer.Option(help="follow the log and exit as the run does")] = True,
    as_json: JSON = False,
) -> None:
    """Send a recipe to a cluster, follow its log, and exit with the run's exit code."""
    from siftloom.submit import submit as start

    raise typer.Exit(start(recipe, nodes or [], address, store, change or [], working_dir, send or [], wait, as_json))
