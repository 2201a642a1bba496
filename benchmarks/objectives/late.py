"""Methods that go on from a trained model: EMO and Half Fine-Tuning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.objectives.rows import Document, encoded, packed, texts, tokenizer
from benchmarks.objectives.runs import LENGTH, kept, loss, train
from models.batch import Batch
from models.half_tuning import HalfTuning
from models.llama import LlamaModel
from models.objectives.emo import Emo
from models.objectives.emo_losses import unit_rows


@dataclass(frozen=True, kw_only=True)
class Shuffled(Emo):
    """EMO by the angles of other tokens: a control that keeps all but the meaning of the costs."""

    def cost_of(self, head_vd: torch.Tensor) -> torch.Tensor:
        order = torch.randperm(len(head_vd), generator=torch.Generator().manual_seed(0))
        return unit_rows(head_vd)[order]


def emo(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Cosine between the expected and the wanted row of the first model's head, and loss, after as many steps each."""
    of = texts("austen")
    ids = encoded(tokenizer(of), of)
    rows, held = packed(folder / "rows", ids[60:], LENGTH), ids[:60]
    base = kept(train(rows, seed, 2 * steps), folder / "base.safetensors")
    arms = {"plain": {}, "emo": {"objective": Emo(mode=1)}, "fixed": {"objective": Emo(mode=2, cost="start")},
            "shuffled": {"objective": Shuffled(mode=1)}}  # fmt: skip
    found: dict[str, float] = {}
    for name, parts in arms.items():
        model = train(rows, seed + 100, steps, lr=0.002, start=base, **parts)
        found[f"{name} loss"] = loss(model, held)
        found[f"{name} cosine"] = cosine(model, base, held)
    return found


@torch.no_grad()
def cosine(model: LlamaModel, base: Path, documents: list[Document]) -> float:
    """Mean cosine between sum q E and E of the target, E the head of the first model, `base`; of the first tokens of
    each document.
    """
    from models.files import head

    head_vd = unit_rows(head(base))
    total, count = 0.0, 0
    for ids in documents:
        whole = torch.tensor([0, *ids.tolist()])[: LENGTH + 1]
        q_tv = model(Batch(ids_bt=whole[None, :-1]), "logits")[0].softmax(-1)
        near = torch.nn.functional.cosine_similarity(q_tv @ head_vd, head_vd[whole[1:]], dim=-1)
        total, count = total + float(near.sum()), count + len(near)
    return total / count


RATES = (0.001, 0.002, 0.004, 0.008)  # of the second text


def half_tuning(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Loss on the first text (kept) and on the second (learned), after as many steps on the second at each rate.

    Who learns less forgets less. So each method is a curve over its rates, and `at equal gain` is its loss on the first
    text where it has learned as much of the second as full tuning has: the mean over what both curves reach.
    """
    first, second = texts("austen"), texts("postgresql")
    by = tokenizer([*first, *second])
    old, new = encoded(by, first), encoded(by, second)
    rows, new_rows = packed(folder / "old", old[60:], LENGTH), packed(folder / "new", new[60:], LENGTH)
    base = train(rows, seed, 2 * steps)
    path = kept(base, folder / "base.safetensors")
    found = {"before kept": loss(base, old[:60]), "before learned": loss(base, new[:60])}
    arms = {"full": None, "half": HalfTuning(round=1), "layer": HalfTuning(round=1, level="layer")}
    curves: dict[str, Curve] = {}
    for name, freeze in arms.items():
        curves[name] = []
        for rate in RATES:
            model = train(new_rows, seed + 100, steps, lr=rate, start=path, freeze=freeze)
            curves[name].append((loss(model, new[:60]), loss(model, old[:60])))
            found[f"{name} {rate:g} learned"], found[f"{name} {rate:g} kept"] = curves[name][-1]
    for name in ("half", "layer"):
        found[f"{name} at equal gain"], found[f"full at the gain of {name}"] = at_equal_gain(
            curves[name], curves["full"]
        )
    return found


Curve = list[tuple[float, float]]  # (loss on the second text, loss on the first) at each rate


def at_equal_gain(one: Curve, other: Curve) -> tuple[float, float]:
    """Mean loss on the first text of both, over the losses on the second that both curves reach; nan without any."""
    sides = [np.array(sorted(curve)) for curve in (one, other)]
    low, high = max(side[0, 0] for side in sides), min(side[-1, 0] for side in sides)
    if low >= high:
        return float("nan"), float("nan")
    places = np.linspace(low, high, 33)
    means = [float(np.interp(places, side[:, 0], side[:, 1]).mean()) for side in sides]
    return means[0], means[1]
