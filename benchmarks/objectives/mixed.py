"""Methods of the rows: CodeGen2, a causal phase before masks, CLIMB's curricula, and priors from losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.objectives.rows import SPECIALS, WORDS, Document, encoded, packed, texts, tokenizer
from benchmarks.objectives.runs import LENGTH, loss, losses, train
from models.batch import Batch
from models.fill import fill_in
from models.generate import TokenSampling
from models.llama import LlamaModel
from models.objectives.infill import Sentinels
from models.optim_config import WSD
from stages.training.by_prior import ByPrior
from stages.training.curriculum import Curriculum
from stages.training.growing_vocabulary import GrowingVocabulary
from stages.training.infill import Infill
from stages.training.mask_tokens import MaskTokens
from stages.training.stage import Stage

FIRST = len(SPECIALS)  # the first id that stands for text
NAMES = 24
BEGIN = 0.6  # of the vocabulary: its first half are single bytes, which alone spell nothing
SENTINELS = Sentinels(tuple(range(3, 7)), 0, 7, 8)


def infill(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Share of names that are filled in rightly, where only what stands behind the gap tells them; loss."""
    draw = np.random.default_rng(seed)

    def made(count: int) -> list[Document]:
        """A name, other words, the name again."""
        lengths = draw.integers(4, 9, count)
        middles = [draw.integers(FIRST + NAMES, FIRST + 2 * NAMES, length) for length in lengths]
        names = draw.integers(FIRST, FIRST + NAMES, count)
        return [np.concatenate([[name], middle, [name]]) for name, middle in zip(names, middles, strict=True)]

    documents, held, words = made(3000), made(200), FIRST + 2 * NAMES
    rows = packed(folder / "rows", documents, LENGTH, words=words)
    found = {}
    how = Infill(share=0.5, most_spans=4, span_lengths=(1, 2), least_share=0.05, most_share=0.3, least_tokens=4)
    for name, parts in {"plain": {}, "infill": {"collate": how}}.items():
        model = train(rows, seed, steps, **parts)
        gaps = [([], ids[1:].tolist()) for ids in held]
        filled = fill_in(model, gaps, 1, SENTINELS, sampling=TokenSampling(temperature=0.0))
        right = [text[:1] == [int(ids[0])] for text, ids in zip(filled, held, strict=True)]
        found |= {f"{name} filled": float(np.mean(right)), f"{name} loss": loss(model, held)}
    return found


def phases(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Accuracy of a linear probe for the class of the token behind each place, of four kinds of encoder."""
    of = texts("austen")
    ids = encoded(tokenizer(of), of)
    rows = packed(folder / "rows", ids[60:], LENGTH)
    masks = MaskTokens(share=0.4)
    arms = {
        "causal": {},
        "masks": {"collate": masks},
        "both": {"schedule": (Stage(until=0.5), Stage(until=1.0, collate=masks))},
    }
    found = {}
    for name, parts in arms.items():
        model = train(rows, seed, steps, lr_schedule=WSD(), **parts)
        found[name] = _probe(model, ids[:60], "causal" if name == "causal" else "bidirectional", seed)
    return found


def _probe(model: LlamaModel, documents: Sequence[Document], attention, seed: int) -> float:
    """Share of right answers on the second half of the documents."""
    classes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, WORDS))
    states, labels = [], []
    with torch.no_grad():
        for ids in documents:
            whole = torch.tensor([0, *ids.tolist()])[:LENGTH]
            states.append(model(Batch(ids_bt=whole[None], attention=attention), "states")[0, :-1])
            labels.append(classes[whole[1:]])
    middle = len(states) // 2
    x, y = torch.cat(states[:middle]), torch.cat(labels[:middle])
    probe = torch.nn.Linear(x.shape[1], 4)
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=60)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        cost = torch.nn.functional.cross_entropy(probe(x), y) + 1e-4 * probe.weight.square().sum()
        cost.backward()
        return cost

    optimiser.step(closure)
    with torch.no_grad():
        answers = probe(torch.cat(states[middle:])).argmax(-1)
    return float((answers == torch.cat(labels[middle:])).double().mean())


def curricula(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Loss after as many steps, of easy rows first, hard rows first, frequent tokens first, and none of it."""
    of = texts("austen", "rust")
    ids = encoded(tokenizer(of), of)
    order = np.random.default_rng(0).permutation(len(ids))
    held, documents = [ids[i] for i in order[:60]], [ids[i] for i in order[60:]]
    counts = np.bincount(np.concatenate(documents), minlength=WORDS) + 1.0
    hard = [float(-np.log(counts[one] / counts.sum()).mean()) for one in documents]
    rows = packed(folder / "rows", documents, LENGTH, {"hard": hard, "easy": [-value for value in hard]})
    arms = {
        "none": {},
        "easy first": {"order": Curriculum(by="hard")},
        "hard first": {"order": Curriculum(by="easy")},
        "vocabulary": {"collate": GrowingVocabulary(begin=BEGIN)},
    }
    return {name: loss(train(rows, seed, steps, **parts), held) for name, parts in arms.items()}


def priors(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Loss on clean text after training on text of which a tenth are random tokens, and two tenths one boilerplate."""
    draw = np.random.default_rng(seed)
    of = texts("austen", "rust")
    ids = encoded(tokenizer(of), of)
    ids = [ids[i][: 2 * LENGTH] for i in draw.permutation(len(ids))]
    held, documents = ids[:60], ids[60:]
    kinds = draw.choice(3, len(documents), p=[0.7, 0.1, 0.2])
    plate = documents[0]
    for i, kind in enumerate(kinds):
        if kind == 1:
            documents[i] = draw.integers(FIRST, WORDS, len(documents[i]))
        elif kind == 2:
            documents[i] = plate.copy()
    # each half is scored by a model of the other one; equal documents share a half, as `halves` does by cluster
    half = np.where(kinds == 2, 0, draw.integers(0, 2, len(documents)))
    scores = np.zeros(len(documents))
    for mine in (0, 1):
        trained = [one for one, at in zip(documents, half, strict=True) if at != mine]
        proxy = train(packed(folder / f"half-{mine}", trained, LENGTH), seed, steps // 2)
        at = np.flatnonzero(half == mine)
        scores[at] = losses(proxy, [documents[i] for i in at])
    low, high = np.quantile(scores, [0.05, 0.88])
    shape = np.where(scores < low, 0.25, np.where(scores > high, 0.25, 1.0))
    tokens = np.array([len(one) for one in documents])
    logs = np.log(shape / np.average(shape, weights=tokens)).tolist()
    weighted, plain = (
        packed(folder / "a", documents, LENGTH, {"log_prior": logs}),
        packed(folder / "b", documents, LENGTH),
    )
    noise = np.average(np.exp(logs) * (kinds == 1), weights=tokens)
    found = {"noise share": float(np.average(kinds == 1, weights=tokens)), "noise weight": float(noise)}
    found["none"] = loss(train(plain, seed, steps), held)
    found["in the loss"] = loss(train(weighted, seed, steps), held)
    found["in the sampler"] = loss(train(weighted, seed, steps, order=ByPrior()), held)
    return found
