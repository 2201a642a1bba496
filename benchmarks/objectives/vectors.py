"""Which vectors of a text hold what only its first and last word together say? Of models of a million parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.objectives.rows import SPECIALS, Document, packed
from benchmarks.objectives.runs import LENGTH, kept, train
from models.batch import Batch
from models.llama import LlamaModel
from models.presets import Llama
from stages.training.mask_tokens import MaskTokens

MODEL = Llama("1m", init_std=0.06)
FIRST, LAST, BETWEEN, ANSWER = (len(SPECIALS) + place for place in (0, 2, 4, 20))  # the first word of each kind
WORDS = ANSWER + 2
WRITTEN, ASKED, LEARNED = 6000, 6000, 2000  # texts that are trained on, probed, and of these learned by the probe


def made(draw: np.random.Generator, count: int) -> tuple[list[Document], np.ndarray]:
    """Texts of a first word of two, two to five others and a last word of two, and the exclusive or of the ends."""
    first, last = draw.integers(0, 2, (2, count))
    between = [draw.integers(BETWEEN, ANSWER, n) for n in draw.integers(2, 6, count)]
    documents = [
        np.array([FIRST + a, *words, LAST + b]) for a, words, b in zip(first, between, last, strict=True)
    ]  # fmt: skip
    return documents, first ^ last


def answered(draw: np.random.Generator, documents: Sequence[Document], answers: np.ndarray) -> list[Document]:
    """The texts with their answer somewhere behind the first word."""
    return [
        np.insert(text, draw.integers(1, len(text) + 1), ANSWER + answer)
        for text, answer in zip(documents, answers, strict=True)
    ]


def vectors(model: LlamaModel, documents: Sequence[Document], how: str) -> np.ndarray:
    """The mean of the states of all words but the last one."""
    sizes = np.array([len(text) for text in documents])
    found = np.zeros((len(documents), MODEL.shape.hidden))
    for size in np.unique(sizes):
        at = np.flatnonzero(sizes == size)
        text = np.stack([documents[i] for i in at.tolist()])
        seen = np.concatenate([np.zeros((len(at), 1), np.int64), *[text] * (2 if how == "echo" else 1)], 1)
        attention = "bidirectional" if how == "both sides" else "causal"
        with torch.no_grad():
            states = model(Batch(ids_bt=torch.from_numpy(seen), attention=attention), "states")
        found[at] = states[:, -size:-1].mean(1).numpy()
    return found


def probed(x: np.ndarray, y: np.ndarray, learned: int) -> float:
    """Share of right answers of a logistic regression on the texts behind the first ones, which it was trained on."""
    mean, deviation = x[:learned].mean(0), x[:learned].std(0) + 1e-6
    inputs, wanted = torch.tensor((x - mean) / deviation), torch.tensor(y, dtype=torch.float64)
    probe = torch.nn.Linear(x.shape[1], 1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = probe(inputs[:learned])[:, 0]
        cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted[:learned])
        cost = cost + 1e-3 * probe.weight.square().sum()
        cost.backward()
        return cost

    optimiser.step(closure)
    with torch.no_grad():
        right = (probe(inputs[learned:])[:, 0] > 0) == wanted[learned:].bool()
    return float(right.double().mean())


def exclusive_or(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Accuracy of a linear probe for the answer, of vectors of texts without it, by each kind of vector."""
    draw = np.random.default_rng(seed)
    written = answered(draw, *made(draw, WRITTEN))
    asked, answers = made(draw, ASKED)
    rows = packed(folder / "rows", written, LENGTH, words=WORDS)
    how: dict[str, Any] = {"model": MODEL, "batch_rows": 8, "lr": 0.003}
    causal = train(rows, seed, steps, **how)
    start, masks = kept(causal, folder / "causal.safetensors"), MaskTokens(share=0.2, predict="before")
    masked = train(rows, seed, steps, start=start, collate=masks, **how)
    arms: dict[str, tuple[LlamaModel, str]] = {
        "causal": (causal, "causal"), "echo": (causal, "echo"), "both sides": (causal, "both sides"),
        "MNTP": (masked, "both sides"),
    }  # fmt: skip
    torch.manual_seed(seed)
    found = {name: probed(vectors(model, asked, how), answers, LEARNED) for name, (model, how) in arms.items()}
    return found | {"chance": 0.5}
