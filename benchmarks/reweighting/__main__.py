"""`python -m benchmarks.reweighting [--small] [--json FILE]`: does it help to weight rows by their loss, and where?

The claim is that of Sow et al. (ICLR 2025, arXiv 2502.06733): LinUpper spends less on rows that the model knows. Three
mixtures of byte-level text from the embedded corpus, where the useful rows are known:

    clean       every row is new
    dup         60 % of the rows come from a pool of 32 rows
    dup+noise   55 % from the pool, 10 % random bytes

Paired: for each seed all strategies share the start, the rows and their order, so the difference to `uniform` has no
noise of its own. A strategy is better when it lowers the cross-entropy of held-out text. `oracle` is `uniform` over
the new rows alone, which no strategy can know: the upper bound. `extremes` is the paper's deliberate bad case.
Intervals are paired t intervals at 95 %. One process, about 20 minutes of CPU; `--small`: one minute, and its
intervals are worth nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.dedup.records import Records, say
from benchmarks.interval import interval
from models.batch import Batch
from models.build import build
from models.objective import CROSS_ENTROPY
from models.optim import clip_gradients, set_learning_rate, trained
from models.optim_config import AdamW, Cosine
from models.presets import Llama
from models.reweight import weights
from models.reweight_config import Extremes, LinUpper, Quadratic, Reweight, Uniform
from models.schedules import learning_rate_factor

CORPUS = Path(__file__).parents[2] / "recipes" / "corpus"
BYTES, LENGTH, ROWS = 256, 64, 32  # vocabulary; bytes of a row; rows of a step, in the paper's range
POOL = 32
NEW, POOLED, NOISE = 0, 1, 2  # kinds of rows
MIXTURES: Mapping[str, tuple[float, float]] = {"clean": (0.0, 0.0), "dup": (0.6, 0.0), "dup+noise": (0.55, 0.1)}
RAMP = {"r": 1.0, "warmup": 0.1, "ramp": 0.05, "scope": "global_exact"}
STRATEGIES: Mapping[str, Reweight] = {
    "uniform": Uniform(),
    "linupper": LinUpper(**RAMP),
    "linupper robust": LinUpper(robust=True, **RAMP),
    "quadratic": Quadratic(**RAMP),
    "extremes": Extremes(**RAMP),
    "oracle": Uniform(),
}
SHOWN: Mapping[str, tuple[str, ...]] = {
    "clean": ("uniform", "linupper"),
    "dup": ("uniform", "linupper", "quadratic", "extremes", "oracle"),
    "dup+noise": ("uniform", "linupper", "linupper robust", "quadratic", "oracle"),
}


@dataclass(frozen=True)
class Result:
    """Held-out cross-entropy [nats a byte] at a quarter, half and all of the steps; share of the weight by kind."""

    held_out: tuple[float, float, float]
    mass: tuple[float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.reweighting")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    torch.set_num_threads(1)
    seeds, steps = (2, 60) if wish.small else (5, 600)
    text, held_out = corpus()
    say(f"corpus: {len(text):,} bytes to train on, {held_out.numel():,} held out; {steps} steps of {ROWS} x {LENGTH}")
    say(f"machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, one thread")
    records = Records()
    for mixture in MIXTURES:
        results = {
            name: [train(mixture, name, seed, steps, text, held_out) for seed in range(seeds)]
            for name in SHOWN[mixture]
        }
        show(mixture, results, records)
    sweep(steps, min(seeds, 3), text, held_out)
    say("")
    for row in records.rows:
        say(f"{'holds' if row['holds'] else 'MISSED':7} {row['what']}: {row['value']} (must be {row['must']})")
    if wish.json:
        wish.json.write_text(json.dumps(records.rows, indent=1) + "\n")


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
) -> Result:
    model = build(Llama("1m", hidden=64, inter=176, layers=2, heads=4), BYTES, LENGTH, seed)
    optimiser, config = AdamW(lr=rate).make(model), STRATEGIES[name]
    tokens = torch.full((ROWS,), LENGTH)
    found, mass = [], torch.zeros(3, dtype=torch.float64)
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
        if step + 1 in (steps // 4, steps // 2, steps):
            with torch.no_grad():
                found.append(float(losses(model, held_out).mean()))
    return Result(tuple(found), tuple((mass / steps).tolist()))  # type: ignore[arg-type]


def losses(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return model(Batch(ids_bt=rows[:, :-1], labels_bt=rows[:, 1:].contiguous()), CROSS_ENTROPY).loss_bt


def against(results: Sequence[Result], uniform: Sequence[Result], at: int = 2) -> list[float]:
    return [one.held_out[at] - other.held_out[at] for one, other in zip(results, uniform, strict=True)]


def show(mixture: str, results: Mapping[str, Sequence[Result]], records: Records) -> None:
    uniform, seeds = results["uniform"], len(results["uniform"])
    say(f"\n{mixture}: difference to uniform in held-out nats a byte at 25, 50, 100 % of the steps, {seeds} seeds")
    say(f"{'':16} {'held out':>9} {'25 %':>9} {'50 %':>9} {'100 %':>9} {'95 %':>8}  better  weight on new, pool, noise")
    for name, several in results.items():
        means = [statistics.fmean(against(several, uniform, at)) for at in range(3)]
        final, half = interval(against(several, uniform)) if name != "uniform" else (0.0, 0.0)
        better = sum(difference < 0 for difference in against(several, uniform))
        mass = " ".join(f"{statistics.fmean(one.mass[kind] for one in several):6.3f}" for kind in range(3))
        level = statistics.fmean(one.held_out[2] for one in several)
        line = f"{name:16} {level:9.4f} {means[0]:9.4f} {means[1]:9.4f} {final:9.4f} {half:8.4f}"
        say(f"{line}  {better} of {seeds}  {mass}")
    difference, half = interval(against(results["linupper"], uniform))
    new = statistics.fmean(one.mass[NEW] for one in results["linupper"])
    share = statistics.fmean(one.mass[NEW] for one in uniform)
    if mixture == "clean":
        records.at_most("A8", "clean: |linupper - uniform| in nats", abs(difference), 0.02, "nats")
    elif mixture == "dup":
        won = sum(value < 0 for value in against(results["linupper"], uniform))
        records.at_least("A8", f"dup: seeds of {seeds} in which linupper is better", won, seeds, "seeds")
        records.at_most("A8", "dup: upper end of linupper - uniform", difference + half, 0.0, "nats")
        records.at_least("A8", "dup: weight of new rows over their share, linupper", new / share, 1.2)
        worst = interval(against(results["extremes"], uniform))[0]
        records.at_least("A8", "dup: extremes - linupper in nats", worst - difference, 0.0, "nats")
    else:
        noise = {name: statistics.fmean(one.mass[NOISE] for one in several) for name, several in results.items()}
        records.at_least("A8", "noise: weight over share, linupper", noise["linupper"] / noise["uniform"], 1.0)
        for name in ("quadratic", "linupper robust"):
            records.at_most("A8", f"noise: weight, {name} over linupper", noise[name] / noise["linupper"], 1.0)


def sweep(steps: int, seeds: int, text: np.ndarray, held_out: torch.Tensor) -> None:
    """Uneven weights make the gradient noisier, so the best learning rate could differ: both at 0.7x and 1.4x."""
    say(f"\ndup, by learning rate: held-out nats a byte, {seeds} seeds")
    for rate in (2.1e-3, 4.2e-3):
        level = {
            name: statistics.fmean(
                train("dup", name, seed, steps, text, held_out, rate).held_out[2] for seed in range(seeds)
            )
            for name in ("uniform", "linupper")
        }
        say(f"{rate:.1e}  uniform {level['uniform']:.4f}  linupper {level['linupper']:.4f}")


if __name__ == "__main__":
    main()
