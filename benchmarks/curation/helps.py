"""Does curation help, and which part of it? Models of a million parameters on five choices of one corpus.

The choices are nodes of `recipes/helps.yaml`. Every model is trained on as many tokens, and judged by held-out pages
of two kinds: pages that the rules keep, each once, and all pages as they came. No model has read a copy of either.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.evidence.claims import Claim, Experiment
from siftloom import Pipeline
from siftloom import stages as s
from siftloom.ablate import BATCH_ROWS, LENGTH, Budget, arms_of
from siftloom.recipe import open_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "helps.yaml"
CONTROL = "random"
ARMS = {
    "everything": "all pages", "rules": "rules", "once": "rules, each once", "best": "rules, each once, better 70 %",
}  # fmt: skip
JUDGES = {"good": "once", "mixed": "everything"}  # kind of held-out pages -> the node that holds them


def run(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """(arm, kind of held-out pages) -> bits a byte."""
    nodes = open_recipe(str(RECIPE))[0].nodes
    budget = Budget(tokens=steps * LENGTH * BATCH_ROWS, seeds=seed + 1)
    made = arms_of(nodes, (CONTROL, *ARMS), budget, JUDGES["good"])
    scores = {
        f"{arm}, {kind}": s.Evaluate(
            model=made[f"{arm}_model_{seed}"], docs=nodes[judge], sample_bytes=budget.sample_bytes, samples=0
        )
        for arm in (CONTROL, *ARMS)
        for kind, judge in JUDGES.items()
    }
    pipeline = Pipeline(list(scores.values()), name="helps", store=str(folder / "store"))
    done = pipeline.run(here=True, progress=False)
    reports = {name: json.loads(done[node].path("score", "all", ".json").read_text()) for name, node in scores.items()}
    return {name: report["held_out"]["bits_per_byte"] for name, report in reports.items()}


HELPS = Experiment(
    name="curation", run=run, steps=98,
    about="Curation: bits a byte on held-out pages, against a choice by chance (less is better).",
    claims=tuple(
        Claim(
            what=f"{kind} pages: {words} - by chance", one=f"{arm}, {kind}", other=f"{CONTROL}, {kind}",
            most=0.0 if arm == "best" and kind == "good" else None,
        )
        for kind in JUDGES
        for arm, words in ARMS.items()
    ),
)  # fmt: skip
