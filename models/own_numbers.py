"""Numbers that an objective learns beside the model: in the model's module and file, and in no forward but the loss's.

They lie under `own.` there. `models.files.load` leaves them out, so that no reader of a model has to know of them, and
`read` gives them alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models.llama import LlamaModel
from models.objective import Objective, OwnTensor

PREFIX = "own."


class OwnNumbers(nn.Module):
    """One parameter for each tensor, by its name; `rates`: factor of the learning rate of each."""

    def __init__(self, tensors: Iterable[OwnTensor], device: torch.device) -> None:
        super().__init__()
        self.rates: dict[str, float] = {}
        for one in tensors:
            self.rates[one.name] = one.rate
            self.register_parameter(one.name, nn.Parameter(torch.tensor(one.start, device=device)))


def give_numbers(model: LlamaModel, objectives: Iterable[Objective]) -> None:
    """Put the numbers of the objectives of a run into its model; two objectives with one name share them."""
    tensors = {one.name: one for objective in objectives for one in objective.owns}
    if tensors:
        model.own = OwnNumbers(tensors.values(), model.embed_tokens.weight.device)


def read(path: Path) -> dict[str, Tensor]:
    """The numbers in a model's file, by name. Raises ValueError for a file that cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {n.removeprefix(PREFIX): file.get_tensor(n) for n in file.keys() if n.startswith(PREFIX)}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error
