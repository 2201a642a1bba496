"""Does a guide steer a model of a million parameters between two topics that it can tell apart?

    python -m benchmarks.objectives.guides [SEEDS]

A text is three clauses of one of two topics, made by rule, so that the topic of an answer is known. The model that
writes has read both; the judge has learned to tell them apart (`objective: gedi`). Answers to neutral prompts: how many
are of the wanted topic, nats a token under the model that wrote them without a guide, and the share of different pairs
of words.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.objectives.gedi import Gedi
from models.optim_config import AdamW
from models.presets import Llama
from siftloom import Pipeline
from siftloom import stages as s
from stages.generate.guide import GediGuide
from stages.tokens.classes import Classes

WORDS = {
    "sea": ("captain sailor diver pilot fisher", "mended hauled anchored rigged lowered", "net mast anchor hull oar"),
    "farm": ("farmer shepherd miller reaper gardener", "ploughed sowed milked fenced mowed",
             "field barn orchard meadow fold"),
}  # fmt: skip
TEXTS, ASKED = 500, 64  # of each topic; prompts
MODEL = Llama("1m", init_std=0.06)
ARMS = {
    "omega 0": {"omega": 0.0, "rho": 1.0, "tau": 1.0}, "omega 1": {"omega": 1.0, "rho": 1.0, "tau": 1.0},
    "omega 4": {"omega": 4.0, "rho": 1.0, "tau": 1.0}, "omega 30": {"omega": 30.0, "rho": 1.0, "tau": 1.0},
    "omega 30, rho .2": {"omega": 30.0, "rho": 0.2, "tau": 1.0},
    "omega 30, rho .2, tau .8": {"omega": 30.0, "rho": 0.2, "tau": 0.8},
}  # fmt: skip


def rows(seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for number in range(TEXTS * len(WORDS)):
        topic = list(WORDS)[number % len(WORDS)]
        who, did, what = (words.split() for words in WORDS[topic])
        clauses = [f"the {draw.choice(who)} {draw.choice(did)} the {draw.choice(what)}" for _ in range(3)]
        asked = f"report {draw.randrange(10, 100)}: "
        yield {"id": str(number), "asked": asked, "topic": topic, "text": asked + ", and ".join(clauses)}


def of_sea(text: str) -> float | None:
    """The share of a text's words of a topic that are of the wanted one."""
    counts = {topic: sum(text.count(word) for word in " ".join(words).split()) for topic, words in WORDS.items()}
    return counts["sea"] / sum(counts.values()) if any(counts.values()) else None


def steered(folder: Path, seed: int) -> dict[str, tuple[float, float, float]]:
    """Arm -> share of answers of the topic, nats a token, share of different pairs of words."""
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(seed)))
    docs = s.Read(paths=(f"{folder}/docs.jsonl",), keep=("asked:string", "topic:string"))
    words = s.Tokenizer(docs=docs, vocab_size=512, specials=("<sea>", "<farm>"))
    how: dict[str, Any] = {"model": MODEL, "batch_rows": 16, "attend": "document", "seed": seed}
    base = s.Pretrain(rows=s.Pack(docs=docs, tokenizer=words, length=128), optimizer=AdamW(lr=0.003), steps=120, **how)
    codes = {"sea": "<sea>", "farm": "<farm>"}
    classes = s.PackSamples(docs=docs, tokenizer=words, length=128, sample=Classes(label="topic", codes=codes))
    judge = s.Pretrain(
        rows=classes, start=base, objective=Gedi(codes=tuple(codes.values()), rate=10.0), optimizer=AdamW(lr=0.003),
        steps=100, **how,
    )  # fmt: skip
    asked = s.Select(docs=s.Split(docs=docs, held_out=ASKED / (2 * TEXTS)), where="held_out")
    nodes: dict[str, Any] = {"told apart": s.Posterior(docs=docs, model=judge, wanted="<sea>")}
    for name, filters in {"no guide": None, **ARMS}.items():
        guide = None if filters is None else GediGuide(model=judge, wanted="<sea>", against="<farm>", **filters)
        answers = s.Generate(
            docs=asked, model=base, prompt="{asked}", max_tokens=24, temperature=1.0,
            guide=guide, carry=("asked",), seed=seed, batch_rows=64,
        )  # fmt: skip
        nodes[name] = s.Likelihood(docs=answers, model=base, prompt="{asked}", target="{text}", batch_rows=64)
    run = Pipeline(list(nodes.values()), name="guides", store=str(folder / "store"), names=nodes)
    done = run.run(here=True, progress=False)
    judged = done["told apart"].rows(["posterior", "topic"])
    sure = np.array(judged["posterior"].to_pylist()) > 0.5
    found = {"judge": (float(np.mean(sure == (np.array(judged["topic"].to_pylist()) == "sea"))), 0.0, 0.0)}
    for name in list(nodes)[1:]:
        answers = done[name].rows(["text", "likelihood_nats", "likelihood_tokens"])
        texts = answers["text"].to_pylist()
        shares = [share for share in map(of_sea, texts) if share is not None]
        nats = sum(answers["likelihood_nats"].to_pylist()) / sum(answers["likelihood_tokens"].to_pylist())
        pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
        found[name] = (float(np.mean([share > 0.5 for share in shares])), nats, len(set(pairs)) / len(pairs))
    return found


def main(seeds: int) -> None:
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            for name, values in steered(Path(folder), seed).items():
                print(seed, name, *(f"{value:.3f}" for value in values), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
