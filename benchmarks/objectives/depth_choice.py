"""How much the loss rises when four of eight layers stand there twice: those that `depth {similar: 4}` chooses, and all
other choices.

    python -m benchmarks.objectives.depth_choice STORE [STEPS]

STORE holds a run of `recipes/deeper.yaml`, whose packed rows are read; prints a line for each of three seeds.
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import torch

from models.batch import Batch
from models.build import build
from models.llama import LlamaModel
from models.presets import Llama
from models.transforms import Depth, similarities

MODEL = Llama("1m", hidden=64, inter=176, layers=8, init_std=0.06)
LENGTH, WORDS, HELD, ROWS, LR = 128, 1024, 96, 12, 0.006


def main(store: str, steps: int = 1000) -> None:
    torch.set_num_threads(1)
    files = sorted(Path(store).glob("nodes/pack-*/data/pack/*.bin"))
    ids = np.concatenate([np.fromfile(path, "<u2").reshape(-1, LENGTH + 1) for path in files]).astype(np.int64)
    held, learned = np.split(ids[np.random.default_rng(0).permutation(len(ids))], [HELD])
    for seed in range(3):
        model = trained(seed, steps, learned)
        found, before = similarities(model, batch(held[:32])), loss(model, held[32:])
        rises = {}
        for twice in itertools.combinations(range(8), 4):
            order = sorted([*range(8), *twice])
            deeper = Depth(layers=tuple((layer, layer + 1) for layer in order)).apply(model)
            rises[twice] = loss(deeper, held[32:]) - before
        order = Depth(similar=4).order(found)
        chosen = tuple(layer for layer in range(8) if order.count(layer) == 2)
        all_ = np.array(list(rises.values()))
        better = int((all_ < rises[chosen]).sum())
        print(
            f"seed {seed}: loss {before:.3f}, similar {chosen} +{rises[chosen]:.3f}, "
            f"mean of {len(all_)} +{all_.mean():.3f} ({all_.min():.3f} to {all_.max():.3f}), {better} better",
            flush=True,
        )


def trained(seed: int, steps: int, rows: np.ndarray) -> LlamaModel:
    """A model after so many steps."""
    model, draw = build(MODEL, WORDS, LENGTH, seed), np.random.default_rng(seed + 100)
    adam = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.1, betas=(0.9, 0.95))
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / 30) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
        adam.zero_grad()
        _loss(model, batch(draw.choice(rows, ROWS))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    return model.eval()


def batch(rows: np.ndarray) -> Batch:
    ids = torch.from_numpy(rows)
    return Batch(ids_bt=ids[:, :-1], labels_bt=ids[:, 1:], documents_bt=torch.ones_like(ids[:, :-1]))


def loss(model: LlamaModel, rows: np.ndarray) -> float:
    with torch.inference_mode():
        return float(_loss(model, batch(rows)))


def _loss(model: LlamaModel, given: Batch) -> torch.Tensor:
    logits_btv = model(given, "logits")
    assert isinstance(logits_btv, torch.Tensor)
    assert given.labels_bt is not None
    return torch.nn.functional.cross_entropy(logits_btv.flatten(0, 1), given.labels_bt.flatten())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
