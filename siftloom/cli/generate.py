"""`generate`: what a trained model writes."""

from __future__ import annotations

from typing import Annotated

import typer

from siftloom.cli import complete
from siftloom.cli.run import JSON, STORE
from siftloom.screen import find_store, say, say_json


def generate(
    model: Annotated[
        str, typer.Argument(help="a trained or exported node of a run, or a folder with a model", metavar="MODEL")
    ],
    prompt: Annotated[str, typer.Argument(help="the beginning of the text")] = "",
    run: Annotated[
        str | None,
        typer.Option(help="the run of the node; the one started last if left out", autocompletion=complete.stored_runs),
    ] = None,
    store: STORE = None,
    count: Annotated[int, typer.Option("-n", help="texts", min=1, max=1000)] = 1,
    tokens: Annotated[
        int | None, typer.Option(help="tokens of one text at most; 128, or half of what the model sees", min=1)
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time", min=0.0)] = 0.7,
    top_k: Annotated[int, typer.Option(help="draw from so many likeliest tokens; 0 for all", min=0)] = 0,
    top_p: Annotated[float, typer.Option(help="draw from the likeliest tokens that hold this share")] = 1.0,
    seed: Annotated[int, typer.Option(help="of the draws; the same seed gives the same texts")] = 0,
    as_json: JSON = False,
) -> None:
    """Write text with a trained model."""
    from siftloom.generate import find_model
    from siftloom.generate import generate as write

    place, files = find_model(model, run, find_store(store))
    texts = write(
        files, prompt, samples=count, tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    if as_json:
        say_json({"model": place, "prompt": prompt, "texts": texts})
        return
    for number, text in enumerate(texts):
        if number:
            say("---")
        say(prompt + text)
