"""Which vectors of a text hold what only its first and last word together say, and what a cut costs them.

    python -m benchmarks.objectives.vectors exclusive_or|cut [SEEDS]

A text is words of which the first and the last have a bit each; in training a word follows that is the exclusive or of
the two. A linear probe asks vectors of texts without that word for it. All vectors are means over all words but the
last one: causal states there have not seen it. Then vectors of two halves of a page, trained with and without a loss
on their beginning, are searched whole and cut to an eighth. Models of a million parameters.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.objectives.rows import SPECIALS, Document, packed, texts
from benchmarks.objectives.runs import kept, train
from models.batch import Batch
from models.llama import LlamaModel
from models.objectives.contrastive import Contrastive
from models.optim_config import AdamW
from models.presets import Llama
from siftloom import Pipeline
from siftloom import stages as s
from stages.tokens.pairs import TextPairs
from stages.training.mask_tokens import MaskTokens
from stages.training.whole_texts import WholeTexts

FIRST, KINDS = len(SPECIALS), 16  # words of each kind: first, last, between
MODEL = Llama("1m", init_std=0.06)
LENGTH, HELD = 96, 200


def made(draw: np.random.Generator, count: int) -> tuple[list[Document], np.ndarray]:
    """Texts with their answer behind them, and the answers."""
    first, last = draw.integers(0, KINDS, (2, count))
    answers = (first ^ last) & 1
    between = [draw.integers(FIRST + 2 * KINDS, FIRST + 3 * KINDS, n) for n in draw.integers(2, 6, count)]
    documents = [
        np.array([FIRST + a, *middle, FIRST + KINDS + b, FIRST + 3 * KINDS + c])
        for a, middle, b, c in zip(first, between, last, answers, strict=True)
    ]
    return documents, answers


def vectors(model: LlamaModel, documents: Sequence[Document], how: str) -> np.ndarray:
    """The mean of the states of all words but the last, of a text without its answer."""
    found = []
    with torch.no_grad():
        for ids in documents:
            text = ids[:-1].tolist()
            seen = [0, *text, *text] if how == "echo" else [0, *text]
            attention = "bidirectional" if how == "both sides" else "causal"
            states = model(Batch(ids_bt=torch.tensor([seen]), attention=attention), "states")[0]
            found.append(states[len(seen) - len(text) : -1].mean(0).numpy())
    return np.array(found)


def probed(x: np.ndarray, y: np.ndarray, trained: int) -> float:
    """Share of right answers of a logistic regression on the texts behind the first ones, which it was trained on."""
    mean, deviation = x[:trained].mean(0), x[:trained].std(0) + 1e-6
    inputs, wanted = torch.tensor((x - mean) / deviation, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    probe = torch.nn.Linear(x.shape[1], 1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = probe(inputs[:trained])[:, 0]
        cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted[:trained])
        cost = cost + 1e-3 * probe.weight.square().sum()
        cost.backward()
        return cost

    optimiser.step(closure)
    with torch.no_grad():
        right = (probe(inputs[trained:])[:, 0] > 0) == wanted[trained:].bool()
    return float(right.double().mean())


def exclusive_or(folder: Path, seed: int, steps: int = 400) -> dict[str, float]:
    """Accuracy of the probe, of each kind of vector."""
    draw = np.random.default_rng(seed)
    documents, _ = made(draw, 6000)
    asked, answers = made(draw, 2000)
    rows = packed(folder / "rows", documents, LENGTH, words=FIRST + 3 * KINDS + 2)
    causal = train(rows, seed, steps, lr=0.003, model=MODEL)
    start = kept(causal, folder / "causal.safetensors")
    masked = train(rows, seed, steps, lr=0.003, model=MODEL, start=start,
                   collate=MaskTokens(share=0.2, predict="before"))  # fmt: skip
    arms: dict[str, tuple[LlamaModel, str]] = {
        "causal": (causal, "causal"), "echo": (causal, "echo"), "both sides, not trained": (causal, "both sides"),
        "MNTP": (masked, "both sides"),
    }  # fmt: skip
    torch.manual_seed(seed)
    return {name: probed(vectors(model, asked, how), answers, 1500) for name, (model, how) in arms.items()}


def cut(folder: Path, seed: int, steps: int = 150) -> dict[str, float]:
    """Recall@1 among pages of which no half was learned from, by whole vectors and by their first eighth."""
    pages = [page for page in texts("austen", "rust", "sqlite") if len(page) > 480]
    (folder / "docs.jsonl").write_text("".join(
        json.dumps({"id": f"{at}", "text": page, "query": page[:240], "positive": page[240:480]}) + "\n"
        for at, page in enumerate(pages)
    ))  # fmt: skip
    docs = s.Read(paths=(f"{folder}/docs.jsonl",), keep=("query:string", "positive:string"))
    words = s.Tokenizer(docs=docs, vocab_size=1024)
    parted = s.Split(docs=docs, held_out=HELD / len(pages), seed=seed)
    pairs = s.PackSamples(docs=parted, tokenizer=words, length=256, sample=TextPairs(max_chars=240))
    start = s.Pretrain(rows=s.Pack(docs=parted, tokenizer=words, length=128), model=MODEL, steps=80, batch_rows=16,
                       optimizer=AdamW(lr=0.01), seed=seed)  # fmt: skip
    eighth = MODEL.shape.hidden // 8
    nodes, asked = {}, s.Select(docs=parted, where="held_out")
    for name, dims in {"plain": (), "Matryoshka": (eighth, MODEL.shape.hidden)}.items():
        model = s.Pretrain(
            rows=pairs, start=start, model=MODEL, steps=steps, batch_rows=32, optimizer=AdamW(lr=0.002), seed=seed,
            objective=Contrastive(dims=dims), collate=WholeTexts(), attend="document",
        )  # fmt: skip
        queries = s.Embed(docs=asked, model=model, template="{query}", as_="q")
        nodes[name] = s.Embed(docs=queries, model=model, template="{positive}", as_="p")
    done = Pipeline(list(nodes.values()), name="cut", store=str(folder / "store"), names=nodes).run(
        here=True, progress=False
    )
    found = {}
    for name in nodes:
        rows = done[name].rows(["q", "p"])
        q, p = (np.array(rows[side].to_pylist()) for side in "qp")
        for width, told in ((q.shape[1], "whole"), (eighth, "an eighth")):
            one, other = (x[:, :width] / np.linalg.norm(x[:, :width], axis=1, keepdims=True) for x in (q, p))
            found[f"{name} {told}"] = float(((one @ other.T).argmax(1) == np.arange(len(one))).mean())
    return found


EXPERIMENTS: dict[str, Callable[[Path, int], dict[str, float]]] = {"exclusive_or": exclusive_or, "cut": cut}


def main(name: str, seeds: int) -> None:
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = EXPERIMENTS[name](Path(folder), seed)
        print(f"{name} {seed}:", ", ".join(f"{arm} {value:.3f}" for arm, value in found.items()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
