"""The learning rate of each arm of `recipes/adapters.yaml`: one grid for all, judged by the loss on the second text.

    python -m benchmarks.objectives.adapter_rates STORE

Prints the loss on the second text for each arm and rate.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from models.optim_config import AdamW
from pipeline.recipe import parse
from siftloom import Pipeline
from siftloom import stages as s
from siftloom.vocabulary import vocabulary

RECIPE = Path(__file__).parents[2] / "recipes/adapters.yaml"
GRID = (0.003, 0.01, 0.03)
ARMS = ("control", "lora", "lora_all", "dora", "adalora", "ia3", "norms", "bottleneck")


def main(store: str) -> None:
    nodes = parse(RECIPE.read_text(encoding="utf-8"), vocabulary()).nodes
    scores = {
        f"{arm}_{place}": s.Evaluate(
            model=dataclasses.replace(nodes[arm], optimizer=AdamW(lr=rate)), docs=nodes["second"], samples=0
        )
        for arm in ARMS
        for place, rate in enumerate(GRID)
    }
    run = Pipeline(list(scores.values()), name="rates", store=store, names=scores)
    found = run.run(here=True, progress=False)
    for arm in ARMS:
        losses = [found[f"{arm}_{place}"].receipt("score", "all").facts["loss"] for place in range(len(GRID))]
        told = ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in zip(GRID, losses, strict=True))
        print(f"{arm:12} best {GRID[losses.index(min(losses))]:g} ({told})", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
