"""AdaLoRA's budget: which directions are worth keeping, and the penalty that keeps them orthogonal.

The same arithmetic as `peft`'s `RankAllocator`, which keeps its means in dictionaries of its own. Here they are buffers
of the layers, so that a checkpoint holds them and a resumed run goes on with the same bits.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from peft.tuners.adalora import SVDLinear
from torch import Tensor, nn

from models.adapters.peft_layers import NAME

PARTS = ("lora_A", "lora_B", "lora_E")


class Pruning(Protocol):
    """How many directions are kept, and when: `models.adapters.adalora.AdaLora`."""

    @property
    def smooth(self) -> tuple[float, float]: ...
    @property
    def every(self) -> int: ...
    def window(self, steps: int) -> tuple[int, int]: ...
    def budget(self, step: int, steps: int, matrices: int) -> int: ...


def remember(model: nn.Module) -> None:
    """Give every layer room for the means of its numbers' importance, and marks of the directions that it keeps."""
    for layer in svd_layers(model):
        for part in PARTS:
            for mean in ("importance", "uncertainty"):
                layer.register_buffer(f"{part}_{mean}", torch.zeros_like(numbers(layer, part)), persistent=False)
        layer.register_buffer("kept", torch.ones_like(numbers(layer, "lora_E")), persistent=False)


def svd_layers(model: nn.Module) -> list[SVDLinear]:
    return [module for module in model.modules() if isinstance(module, SVDLinear)]


def numbers(layer: SVDLinear, part: str) -> nn.Parameter:
    """A tensor of a layer."""
    return getattr(layer, part)[NAME]


def kept(layer: SVDLinear) -> Tensor:
    """1 for a direction that the budget keeps, 0 for one that it has cut."""
    return cast("Tensor", layer.kept)


def penalise(model: nn.Module, weight: float) -> None:
    """Add the gradient of `weight` times the mean of |Q Q^T - I| and |P^T P - I| over all matrices."""
    layers = svd_layers(model)
    found = [numbers(layer, part) for part in ("lora_A", "lora_B") for layer in layers]
    with torch.enable_grad():
        rows = [*found[: len(layers)], *(P_or.T for P_or in found[len(layers) :])]
        penalty = torch.stack([_from_orthogonal(one) for one in rows]).mean()
        gradients = torch.autograd.grad(weight * penalty, found)
    for one, gradient in zip(found, gradients, strict=True):
        assert one.grad is not None, "after the backward of a step"
        one.grad.add_(gradient)


def _from_orthogonal(rows: Tensor) -> Tensor:
    return torch.linalg.norm(rows @ rows.T - torch.eye(len(rows), device=rows.device))


@torch.no_grad()
def cut(model: nn.Module, adapter: Pruning, step: int, steps: int) -> None:
    """Measure what a step said of every number, and set the singular values of what the budget cuts to zero."""
    layers, (begin, end) = svd_layers(model), adapter.window(steps)
    if step < end:
        for layer in layers:
            _measure(layer, *adapter.smooth)
    if 0 < step == end or (begin < step < end and step % adapter.every == 0):
        scores = [_scores(layer) for layer in layers]
        cut_off = sum(map(len, scores)) - adapter.budget(step, steps, len(layers))
        limit = torch.cat(scores).kthvalue(cut_off).values
        for layer, score_r in zip(layers, scores, strict=True):
            kept(layer).copy_((score_r > limit)[:, None])
            numbers(layer, "lora_E").mul_(kept(layer))
    elif step > end:  # the optimiser moves what was cut
        for layer in layers:
            numbers(layer, "lora_E").mul_(kept(layer))


def _measure(layer: SVDLinear, smooth: float, smooth_uncertainty: float) -> None:
    for part in PARTS:
        parameter = numbers(layer, part)
        assert parameter.grad is not None, "after the backward of a step"
        now = (parameter * parameter.grad).abs()
        importance, uncertainty = getattr(layer, f"{part}_importance"), getattr(layer, f"{part}_uncertainty")
        importance.copy_(smooth * importance + (1 - smooth) * now)
        uncertainty.copy_(smooth_uncertainty * uncertainty + (1 - smooth_uncertainty) * (now - importance).abs())


def _scores(layer: SVDLinear) -> Tensor:
    """Of each direction: that of its singular value, and the means of those of its two vectors."""
    of = {part: getattr(layer, f"{part}_importance") * getattr(layer, f"{part}_uncertainty") for part in PARTS}
    return of["lora_E"][:, 0] + (of["lora_A"].mean(1) + of["lora_B"].mean(0))
