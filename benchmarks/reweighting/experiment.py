"""Does it help to weight rows by their loss, and where?

The claim is that of Sow et al. (ICLR 2025, arXiv 2502.06733): LinUpper spends less on rows that the model knows. Four
mixtures of byte-level text from the embedded corpus, where the useful rows are known:

    clean       every row is new
    noise       5 % of the rows are random bytes
    dup         60 % of the rows come from a pool of 32 rows
    dup+noise   55 % from the pool, 10 % random bytes

All strategies of a seed share the start, the rows and their order. `oracle` is `uniform` over the new rows alone, which
no strategy can know: the most that there is to gain. `extremes` is the paper's deliberate bad case; `kl_dro` the
exponential of the loss, which learns from noise most of all.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.evidence.claims import Claim, Experiment
from models.batch import Batch
from models.build import build
from models.objective import CROSS_ENTROPY
from models.optim import clip_gradients, set_learning_rate, trained
from models.optim_config import AdamW, Cosine
from models.presets import Llama
from models.reweight import weights
from models.reweight_config import Extremes, KlDro, LinUpper, Quadratic, Reweight, Uniform
from models.schedules import learning_rate_factor

CORPUS = Path(__file__).parents[2] / "recipes" / "corpus"
BYTES, LENGTH, ROWS = 256, 64, 32  # vocabulary; bytes of a row; rows of a step, in the paper's range
POOL = 32
NEW, POOLED, NOISE = 0, 1, 2  # kinds of rows
MIXTURES: Mapping[str, tuple[float, float]] = {  # shares of the pool, and of noise
    "clean": (0.0, 0.0), "noise": (0.0, 0.05), "dup": (0.6, 0.0), "dup+noise": (0.55, 0.1),
}  # fmt: skip
RAMP = {"r": 1.0, "warmup": 0.1, "ramp": 0.05, "scope": "global_exact"}
STRATEGIES: Mapping[str, Reweight] = {
    "uniform": Uniform(),
    "linupper": LinUpper(**RAMP),
    "linupper robust": LinUpper(robust=True, **RAMP),
    "quadratic": Quadratic(**RAMP),
    "kl_dro": KlDro(**RAMP),
    "extremes": Extremes(**RAMP),
    "oracle": Uniform(),
}
SHOWN: Mapping[str, tuple[str, ...]] = {
    "clean": ("uniform", "linupper", "kl_dro"),
    "noise": ("uniform", "linupper", "quadratic", "kl_dro", "oracle"),
    "dup": ("uniform", "linupper", "quadratic", "extremes", "oracle"),
    "dup+noise": ("uniform", "linupper", "linupper robust", "quadratic", "oracle"),
}


def corpus() -> tuple[np.ndarray, torch.Tensor]:
    """(bytes of the corpus's clean documents, rows of other documents `[n, LENGTH + 1]`)."""
    with gzip.open(CORPUS / "truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        clean = {row["id"] for row in map(json.loads, lines) if row["kind"] == "clean"}
    texts = []
    for path in sorted(CORPUS.glob("corpus-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [row["text"] for row in map(json.loads, lines) if row["id"] in clean]
    apart = texts[::20]
    kept = [text for number, text in enumerate(texts) if number % 20]
    ends = np.frombuffer("\n\n".join(apart).encode(), np.uint8)
    count = min(len(ends) // (LENGTH + 1), 256)
    rows = torch.from_numpy(ends[: count * (LENGTH + 1)].astype(np.int64)).view(count, LENGTH + 1)
    return np.frombuffer("\n\n".join(kept).encode(), np.uint8), rows


def rows_of(mixture: str, seed: int, steps: int, text: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each step's rows `[ROWS, LENGTH + 1]` and their kinds; the same for every strategy. New rows come once."""
    random = np.random.default_rng(seed)
    pooled, noise = MIXTURES[mixture]
    chunks = text[: len(text) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    chunks = chunks[random.permutation(len(chunks))]
    pool, fresh = chunks[:POOL], iter(chunks[POOL:])
    for _ in range(steps):
        draw = random.random(ROWS)
        kinds = np.where(draw < pooled, POOLED, np.where(draw < pooled + noise, NOISE, NEW))
        rows = np.stack([
            pool[random.integers(POOL)] if kind == POOLED
            else random.integers(0, BYTES, LENGTH + 1) if kind == NOISE
            else next(fresh)
            for kind in kinds
        ])  # fmt: skip
        yield torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(kinds)


def train(
    mixture: str, name: str, seed: int, steps: int, text: np.ndarray, held_out: torch.Tensor, rate: float = 3e-3
) -> tuple[float, tuple[float, ...]]:
    """(held-out cross-entropy [nats a byte], share of the weight by kind of row)."""
    model = build(Llama("1m", hidden=64, inter=176, layers=2, heads=4), BYTES, LENGTH, seed)
    optimiser, config = AdamW(lr=rate).make(model), STRATEGIES[name]
    tokens = torch.full((ROWS,), LENGTH)
    mass = torch.zeros(3, dtype=torch.float64)
    for step, (rows, kinds) in enumerate(rows_of(mixture, seed, steps, text)):
        set_learning_rate(optimiser, rate * learning_rate_factor(Cosine(), step, steps))
        score = losses(model, rows).mean(1)
        counted = tokens.where(kinds == NEW, 0) if name == "oracle" else tokens
        weight = weights(config, score.detach(), counted, step=step, steps=steps)
        (weight.float() * score).sum().backward()
        clip_gradients(trained(model), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        mass.index_add_(0, kinds, weight)
    with torch.no_grad():
        return float(losses(model, held_out).mean()), tuple((mass / steps).tolist())


def losses(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return model(Batch(ids_bt=rows[:, :-1], labels_bt=rows[:, 1:].contiguous()), CROSS_ENTROPY).loss_bt


def run(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Arm -> held-out nats a byte; with `weight of ...` the share of the weight that a kind of row was given."""
    text, held_out = corpus()
    found = {}
    for mixture, names in SHOWN.items():
        for name in names:
            level, mass = train(mixture, name, seed, steps, text, held_out)
            found[f"{mixture}: {name}"] = level
            for kind, word in ((NEW, "new"), (NOISE, "noise")):
                found[f"{mixture}: {name}, weight of {word}"] = mass[kind]
    return found


def _apart(mixture: str, one: str, other: str = "uniform", **bound: float) -> Claim:
    return Claim(what=f"{mixture}: {one} - {other}", one=f"{mixture}: {one}", other=f"{mixture}: {other}", **bound)


def _weight(mixture: str, one: str, kind: str, **bound: float) -> Claim:
    arms = (f"{mixture}: {name}, weight of {kind}" for name in (one, "uniform"))
    return Claim(what=f"{mixture}: weight of {kind}, {one} - its share", one=next(arms), other=next(arms), **bound)


REWEIGHTING = Experiment(
    name="reweighting", run=run, steps=600, seeds=5,
    about="Rows weighted by their loss: held-out nats a byte of models of width 64, rows of 64 bytes, 32 a step.",
    claims=(
        _apart("clean", "linupper", most=0.02),
        _apart("clean", "kl_dro"),
        _apart("noise", "linupper", most=0.0),
        _apart("noise", "quadratic", most=0.0),
        _apart("noise", "kl_dro", least=0.0),
        _apart("noise", "oracle"),
        _weight("noise", "linupper", "noise"),
        _weight("noise", "kl_dro", "noise", least=0.0),
        _apart("dup", "linupper", most=0.0),
        _apart("dup", "quadratic", most=0.0),
        _apart("dup", "extremes", "linupper", least=0.0),
        _apart("dup", "oracle"),
        _weight("dup", "linupper", "new", least=0.0),
        _apart("dup+noise", "linupper", most=0.0),
        _apart("dup+noise", "linupper robust", "linupper"),
        _apart("dup+noise", "quadratic", "linupper", most=0.0),
        _apart("dup+noise", "oracle"),
        _weight("dup+noise", "linupper", "noise"),
        _weight("dup+noise", "quadratic", "noise", most=0.0),
    ),
)  # fmt: skip
