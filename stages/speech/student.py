"""A round of training: a fresh network learns the teacher's sequences from frames of changed sound, by CTC.

One process, one thread, fp32: the sums of a training hang on how it is cut, so it is not cut.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.contract import Context
from pipeline.errors import Stopped
from stages.speech.encoder import LAYERS, MEAN, SPREAD

if TYPE_CHECKING:
    import numpy as np
    import torch

LOGGED = 20  # steps from one report to the next


@dataclass(frozen=True)
class HeardSound:
    """A changed sound: its frames, and the teacher's units of it as it was."""

    frames: np.ndarray  # float32 [frames, width]
    units: np.ndarray  # int32


@dataclass(frozen=True)
class Student:
    """What decides the bytes of a network beside its views."""

    units: int
    hidden: int
    steps: int
    batch: int
    rate: float
    seed: int

    def train(self, ctx: Context, views: Sequence[HeardSound]) -> tuple[dict[str, torch.Tensor], list[float]]:
        """The tensors of the network, and the loss of every step."""
        import torch

        torch.set_num_threads(1)
        draw = torch.Generator().manual_seed(self.seed)
        frames = [torch.from_numpy(view.frames) for view in views]
        targets = [torch.from_numpy(view.units).long() for view in views]
        mean, spread = _moments(frames)
        layers = self._layers(frames[0].shape[1], draw)
        learned = [tensor for layer in layers for tensor in layer]
        optimiser = torch.optim.Adam(learned, self.rate)
        loss_of = torch.nn.CTCLoss(blank=self.units)
        losses = []
        for step in range(self.steps):
            chosen = torch.randint(len(views), (self.batch,), generator=draw).tolist()
            batch = torch.nn.utils.rnn.pad_sequence([frames[at] for at in chosen])
            lengths = torch.tensor([len(frames[at]) for at in chosen])
            outputs = _outputs((batch - mean) / spread, layers).log_softmax(-1)
            wanted = torch.cat([targets[at] for at in chosen])
            loss = loss_of(outputs, wanted, lengths, torch.tensor([len(targets[at]) for at in chosen]))
            for group in optimiser.param_groups:
                group["lr"] = self.rate * (1 - step / self.steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if step % LOGGED == 0 or step + 1 == self.steps:
                ctx.log("step", step=step + 1, steps=self.steps, loss=losses[-1])
                if ctx.stopping():
                    raise Stopped(signal.SIGTERM)
        tensors = {MEAN: mean, SPREAD: spread}
        for number, (weight, bias) in enumerate(layers):
            tensors |= {f"weight_{number}": weight.detach(), f"bias_{number}": bias.detach()}
        return tensors, losses

    def _layers(self, width: int, draw: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and bias of each layer, uniform as in `torch.nn.Linear`, but of a generator of their own."""
        import torch

        sizes = [width, *[self.hidden] * (LAYERS - 1), self.units + 1]
        layers = []
        for into, out in pairwise(sizes):
            bound = into**-0.5
            pair = [torch.empty(shape).uniform_(-bound, bound, generator=draw) for shape in ((out, into), (out,))]
            layers.append((pair[0].requires_grad_(), pair[1].requires_grad_()))
        return layers


def _moments(frames: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every number of a frame, fp32."""
    import torch

    number = sum(len(each) for each in frames)
    mean = sum((each.double().sum(0) for each in frames), torch.zeros(frames[0].shape[1]).double()) / number
    squares = sum(((each.double() - mean).square().sum(0) for each in frames), torch.zeros_like(mean)) / number
    return mean.float(), squares.sqrt().clamp(min=1e-3).float()


def _outputs(values: torch.Tensor, layers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    import torch

    for number, (weight, bias) in enumerate(layers):
        values = torch.nn.functional.linear(values, weight, bias)
        values = values.relu() if number + 1 < len(layers) else values
    return values
