"""Does a guide steer a model of a million parameters between two topics that it can tell apart?

A text is three clauses of one of two topics, made by rule, so that the topic of an answer is known. The model that
writes has read both; the judge has learned to tell them apart (`objective: gedi`).
"""

from __future__ import annotations

import json
import random
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
TEXTS, ASKED = 500, 128  # of each topic; prompts
MODEL = Llama("1m", init_std=0.06)
ARMS: dict[str, tuple[float, float, float] | None] = {  # omega, rho and tau
    "no guide": None,
    "omega 0": (0.0, 1.0, 1.0), "omega .1": (0.1, 1.0, 1.0), "omega 1": (1.0, 1.0, 1.0), "omega 30": (30.0, 1.0, 1.0),
    "rho": (30.0, 0.2, 1.0), "rho and tau": (30.0, 0.2, 0.8),
}  # fmt: skip


def rows(seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for number in range(TEXTS * len(WORDS)):
        topic = list(WORDS)[number % len(WORDS)]
        who, did, what = (words.split() for words in WORDS[topic])
        clauses = [f" the {draw.choice(who)} {draw.choice(did)} the {draw.choice(what)}" for _ in range(3)]
        asked = f"report {draw.randrange(10, 100)}:"
        yield {"id": str(number), "asked": asked, "topic": topic, "text": asked + ", and".join(clauses)}


def is_of_sea(text: str) -> bool:
    """Whether more words of a text are of the wanted topic than of the other one."""
    counts = {topic: sum(text.count(word) for word in " ".join(words).split()) for topic, words in WORDS.items()}
    return counts["sea"] > counts["farm"]


def guides(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Of each arm the share of answers of the topic, their nats a token under the model that writes without a guide,
    and the share of different pairs among their pairs of words. `judge`: how many of the texts it knows the topic of.
    """
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(seed)))
    docs = s.Read(paths=(f"{folder}/docs.jsonl",), keep=("asked:string", "topic:string"))
    words = s.Tokenizer(docs=docs, vocab_size=512, specials=("<sea>", "<farm>"))
    how: dict[str, Any] = {
        "model": MODEL, "batch_rows": 8, "attend": "document", "seed": seed, "steps": steps,
        "optimizer": AdamW(lr=0.003),
    }  # fmt: skip
    base = s.Pretrain(rows=s.Pack(docs=docs, tokenizer=words, length=128), **how)
    codes = {"sea": "<sea>", "farm": "<farm>"}
    classes = s.PackSamples(docs=docs, tokenizer=words, length=128, sample=Classes(label="topic", codes=codes))
    judge = s.Pretrain(rows=classes, start=base, objective=Gedi(codes=tuple(codes.values()), rate=10.0), **how)
    asked = s.Select(docs=s.Split(docs=docs, held_out=ASKED / (2 * TEXTS)), where="held_out")
    nodes: dict[str, Any] = {"judge": s.Posterior(docs=asked, model=judge, wanted="<sea>")}
    for name, strength in ARMS.items():
        guide = None
        if strength is not None:
            omega, rho, tau = strength
            guide = GediGuide(model=judge, wanted="<sea>", against="<farm>", omega=omega, rho=rho, tau=tau)
        answers = s.Generate(
            docs=asked, model=base, prompt="{asked}", max_tokens=24, temperature=1.0, guide=guide, carry=("asked",),
            seed=seed, batch_rows=ASKED,
        )  # fmt: skip
        nodes[name] = s.Likelihood(docs=answers, model=base, prompt="{asked}", target="{text}", batch_rows=ASKED)
    run = Pipeline(list(nodes.values()), name="guides", store=str(folder / "store"), names=nodes)
    done = run.run(here=True, progress=False)
    judged = done["judge"].rows(["posterior", "topic"])
    sea = [topic == "sea" for topic in judged["topic"].to_pylist()]
    found = {"none": 0.0, "judge": float(np.mean((np.array(judged["posterior"].to_pylist()) > 0.5) == sea))}
    for name in ARMS:
        answers = done[name].rows(["text", "likelihood_nats", "likelihood_tokens"])
        texts = answers["text"].to_pylist()
        nats = sum(answers["likelihood_nats"].to_pylist()) / sum(answers["likelihood_tokens"].to_pylist())
        pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
        found |= {
            f"{name}: of the topic": float(np.mean([is_of_sea(text) for text in texts])), f"{name}: nats": nats,
            f"{name}: bigrams": len(set(pairs)) / max(1, len(pairs)),
        }  # fmt: skip
    return found
