"""Runs `recipes/demo.yaml` and gathers what came out of it: the object that `siftloom demo --json` prints."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.files.address import Address
from siftloom.demo.truth import planted_truth, removals, score

if TYPE_CHECKING:
    from pipeline.driver.options import Options
    from siftloom.run import NodeView, Run

MODELS = ("dense", "lost", "lost_reweighted", "dense_unfiltered")
MEMORY_SECONDS = 1.5  # between two samples: asking some forty processes takes the kernel a tenth of a second
FUNNEL = ("docs", "english", "plain", "clean", "distinct", "unique", "good")


def recipe_path() -> Path:
    """Return the path of the demo's recipe, in a checkout or an installed wheel."""
    return Path(str(resources.files("recipes") / "demo.yaml"))


def run_demo(
    store: str | Address, options: Options, stream: TextIO | None, changes: Sequence[str] = ()
) -> tuple[Run, dict[str, Any]]:
    """Return the run and its result. Progress goes to `stream`; `changes` are overrides of the recipe."""
    from pipeline.recipe import load
    from siftloom.run import execute
    from siftloom.screen import listening
    from siftloom.vocabulary import vocabulary

    began = time.monotonic()
    recipe = load(recipe_path(), vocabulary(), changes)
    again = ("siftloom", "run", str(recipe_path()), *(word for change in changes for word in ("-s", change)))
    options = replace(options, command=again)
    with peak_memory() as memory, listening(store, recipe.name, stream=stream) as watcher:
        run = execute(
            recipe.graph(), name=recipe.name, store=store, options=options, recipe=recipe.text, watcher=watcher,
        )  # fmt: skip
        made = gather(run)
        report = write_report(run, made["planted"])
    result = {"seconds": round(time.monotonic() - began, 1), "peak_memory": max(memory)}
    return run, result | made | {"report": str(report)}


def write_report(run: Run, planted: dict[str, Any]) -> Path:
    """Write the run's report with the table of planted faults. Return its path."""
    rows = [[kind, entry["recall"], entry["precision"]] for kind, entry in planted.items() if entry is not None]
    figure = {
        "kind": "table",
        "title": "Planted faults that were found",
        "section": "planted faults",
        "about": "Faults with a known truth were planted in the corpus; this is how many the rules found.",
        "columns": ["fault", "recall", "precision"],
        "units": [None, "percent", "percent"],
        "rows": rows,
    }
    return run.report([figure])


@contextlib.contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list that fills with samples of the bytes that this process and its descendants hold together.

    PSS counts a page that n processes share as 1/n in each, so the sum is what the machine gives up for them.
    """
    import psutil

    samples, closed = [0], threading.Event()

    def watch() -> None:
        while not closed.wait(MEMORY_SECONDS):
            here, total = psutil.Process(), 0
            for process in (here, *here.children(recursive=True)):
                with contextlib.suppress(psutil.Error):  # it may have ended since it was listed
                    full = process.memory_full_info()
                    total += getattr(full, "pss", full.rss)  # Linux alone knows PSS
            samples.append(total)

    thread = threading.Thread(target=watch, name="peak-memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        closed.set()
        thread.join()


def gather(run: Run) -> dict[str, Any]:
    """`planted`, `clean_removed`, `funnel`, `models` and `export` of a finished demo."""
    scored = score(planted_truth(), removals(run, "unique"))
    return scored | {
        "funnel": funnel(run),
        "models": models(run),
        "export": {name: str(folder(run[f"export_{name}"])) for name in ("lost", "dense")},
    }


def folder(view: NodeView) -> Path:
    """Return the folder of an exported model."""
    return view.path("folder", "all", "/config.json").parent


def funnel(run: Run) -> list[dict[str, Any]]:
    """Return the documents and bytes of text alive after each step, and the tokens that were packed at the end."""
    steps: list[dict[str, Any]] = [_alive(run[label]) for label in FUNNEL]
    packed = run["rows"].counts["pack"]
    return [
        *steps,
        {"node": "rows", "documents": packed["packed"], "bytes": packed["bytes"], "tokens": packed["tokens"]},
    ]


def _alive(view: NodeView) -> dict[str, Any]:
    import pyarrow.compute as pc

    documents = text = 0
    for batch in view.batches(["text"]):
        documents += batch.num_rows
        text += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
    return {"node": view.label, "documents": documents, "bytes": text}


def models(run: Run) -> dict[str, dict[str, Any]]:
    """The table of the four trainings. Speed stands in the event log: it is no data, and null for a reused training."""
    table = json.loads(run["table"].path("table", "all", ".json").read_text(encoding="utf-8"))
    rows = {row["label"]: row for row in table["runs"]}
    speeds = _speeds(run)
    return {
        name: {
            "parameters": rows[name]["parameters"],
            "bytes": rows[name]["bytes"],
            "val_bits_per_byte": rows[name]["bits_per_byte"],
            "tokens_per_second": speeds.get(name),
        }
        for name in MODELS
    }


def _speeds(run: Run) -> dict[str, float]:
    from pipeline.results.events import read_events

    return {e["node"]: e["tokens_per_second"] for e in read_events(run.store, run.name) if e["event"] == "trained"}
