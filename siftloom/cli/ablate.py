"""`ablate`: which of several sets of documents makes the better model."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from siftloom.cli import complete
from siftloom.cli.run import ADDRESS, CPUS, JSON, LIMIT, RECIPE, SET, STORE, check_here
from siftloom.screen import find_store, listening, say, say_json, table


def ablate(
    recipe: RECIPE,
    arms: Annotated[
        list[str],
        typer.Argument(help="nodes of documents; the others are held against the first", autocompletion=complete.nodes),
    ],
    tokens: Annotated[int, typer.Option(help="tokens that each model is trained on", min=1)] = 400_000,
    seeds: Annotated[int, typer.Option(help="models of each arm", min=1)] = 2,
    preset: Annotated[str, typer.Option(help="shape of the models")] = "1m",
    judge: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="NODE",
            help="documents whose held-out part judges all; the split before the arms without it",
            autocompletion=complete.nodes,
        ),
    ] = None,
    change: SET = None,
    store: STORE = None,
    cpus: CPUS = None,
    address: ADDRESS = None,
    limit: LIMIT = None,
    here: Annotated[bool, typer.Option("--here", help="do the work in this process, one task after the other")] = False,
    as_json: JSON = False,
) -> None:
    """Train a small model on each of several sets of documents, and say whether the difference is real."""
    from pipeline.driver.execute import Options
    from pipeline.graph import build
    from pipeline.recipe import dump
    from siftloom.ablate import Budget, arms_of
    from siftloom.recipe import open_recipe
    from siftloom.run import execute
    from siftloom.vocabulary import vocabulary
    from stages.training.ablation import rows_of

    check_here(here, cpus, address)
    found, _ = open_recipe(recipe, (), change or (), limit)
    budget = Budget(tokens, seeds, preset)
    made = arms_of(found.nodes, arms, budget, judge)
    graph = build([made["ablation"]], {**found.nodes, **made})
    place, name = find_store(store, found.located_store, found.store), f"{found.name}-ablate"
    stream = sys.stdout if as_json else sys.stderr
    with listening(place, name, stream=stream, as_json=as_json) as watcher:
        done = execute(
            graph,
            name=name,
            store=place,
            options=Options(cpus=cpus, address=address, here=here),
            recipe=dump(graph.nodes, graph.names, vocabulary(), name=name, store=str(place)),
            watcher=watcher,
        )
    result = json.loads(done["ablation"].path("table", "all", ".json").read_text(encoding="utf-8"))
    epochs = {arm: max(_epochs(done, f"{arm}_model_{seed}") for seed in range(seeds)) for arm in arms}
    if as_json:
        say_json({"event": "result", "run": done.name, "tokens": budget.tokens, "epochs": epochs, **result})
        return
    columns = ("arm", "source", "documents", "bits per byte", "less than the first", "from", "to", "real")
    rows = [tuple("" if cell is None else str(cell) for cell in row) for row in rows_of(result)]
    table(columns, rows, right=(2, 3, 4, 5, 6))
    read = ", ".join(f"{arm} {epoch:.2f} times" for arm, epoch in epochs.items())
    say(f"\neach model saw {budget.steps * 16 * 256:,} tokens; read through: {read}")
    for line in result["words"]:
        say(line)


def _epochs(done, label: str) -> float:
    config = json.loads(done[label].path("train", "all", "/config.json").read_text(encoding="utf-8"))
    return max(config["epochs"])
