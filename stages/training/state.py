"""Weights and moments of a run as files of the processes that hold them, readable by any other number of processes.

Each process writes one safetensors file with what is its own: whole tensors from the first process, of tensors in
shards its rows of each. The file's header says the whole shape of every tensor and the first row that is held. A
reader takes the rows that it needs from whatever files hold them, so that a run goes on with whole copies or with
other shards. Groups of the optimiser (learning rates, decay) are configuration and the step's business: they are not
kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.tensor_files import save_tensors
from stages.training.checkpoint import is_first_process

HEADER = "siftloom_part"


class Held(NamedTuple):
    """This process's part of a tensor: rows [first, first + len(local)) of one of this shape. `writes`: it is this
    process that writes it, as the first of those that hold the same.
    """

    local: Tensor
    first: int
    shape: list[int]
    writes: bool


def held_part(tensor: Tensor) -> Held:
    """What this process holds of a tensor, plain or in shards over its first axis."""
    if (mesh := getattr(tensor, "device_mesh", None)) is None:
        return Held(tensor, 0, list(tensor.shape), is_first_process())
    replicate, shard = mesh.get_coordinate()
    # FSDP2 cuts into equal chunks, the last ones shorter or empty
    chunk = -(-tensor.shape[0] // mesh.size(1))
    local = cast("Any", tensor).to_local()
    return Held(local, min(tensor.shape[0], shard * chunk), list(tensor.shape), replicate == 0)


def parameters_of(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that a checkpoint holds, by name: with an adapter what is trained, for the rest is in the file
    that the run starts from.
    """
    adapted = getattr(model, "adapter", None) is not None
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad or not adapted)


def buffers_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that a checkpoint holds, by name: with an adapter those that no model file holds."""
    in_file = model.state_dict().keys() if getattr(model, "adapter", None) is not None else ()
    return ((name, one) for name, one in model.named_buffers() if name not in in_file)


def tensors_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a run by name: parameters, buffers, and the optimiser's state of each parameter."""
    for name, parameter in parameters_of(model):
        yield f"model/{name}", parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"optimizer/{key}/{name}", value
    for name, buffer in buffers_of(model):
        yield f"model/{name}", buffer


class StatePart(NamedTuple):
    """What is one process's to write: its tensors on the CPU, and first row and whole shape of each."""

    tensors: dict[str, Tensor]
    header: dict[str, tuple[int, list[int]]]

    def write(self, folder: Path, process_rank: int) -> list[str]:
        """Write the file; returns its name, or nothing where there is nothing to write."""
        if not self.tensors:
            return []
        file = f"part-{process_rank:05d}.safetensors"
        save_tensors(self.tensors, folder / file, {HEADER: json.dumps(self.header, sort_keys=True)})
        return [file]


def part_of(model: nn.Module, optimizer: torch.optim.Optimizer, *, copied: bool) -> StatePart:
    """This process's part of a run; `copied`: it stays as it is while training goes on, for the memory of a copy."""
    tensors, header = {}, {}
    for name, tensor in tensors_of(model, optimizer):
        part = held_part(tensor)
        if part.writes and (part.local.numel() or not part.shape):
            tensors[name] = _on_host(part.local.contiguous(), copied=copied)
            header[name] = (part.first, part.shape)
    if copied and torch.cuda.is_available():
        torch.cuda.synchronize()  # copies to pinned memory may still run
    return StatePart(tensors, header)


def _on_host(tensor: Tensor, *, copied: bool) -> Tensor:
    """A tensor on the CPU. A copy beside the training goes to pinned memory: from a GPU that is the fast way, and one
    wait ends the copies of all tensors.
    """
    if tensor.device.type == "cpu":
        return tensor.clone() if copied else tensor
    if not copied:
        return tensor.cpu()
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def read_parts(folder: Path, files: Sequence[str], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load weights and moments in place, whatever number of processes wrote them.

    Raises KeyError or ValueError when a tensor is missing or has another shape.
    """
    with ExitStack() as opened:
        parts = Parts([opened.enter_context(safe_open(folder / file, framework="pt")) for file in files])
        for name, parameter in parameters_of(model):
            parts.read(f"model/{name}", parameter.detach())
            for key in parts.keys_of(name):
                state = empty_state(optimizer, parameter, parts.shape(f"optimizer/{key}/{name}"))
                parts.read(f"optimizer/{key}/{name}", state)
                optimizer.state[parameter][key] = state
        for name, buffer in buffers_of(model):
            parts.read(f"model/{name}", buffer)


def empty_state(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, shape: list[int]) -> Tensor:
    """An unfilled tensor of the optimiser's state: laid out as the parameter when it has its shape, else whole. Counts
    of steps lie on the CPU, unless a kernel reads them.
    """
    if shape == list(parameter.shape):
        return torch.empty_like(parameter, requires_grad=False)
    if shape:
        return torch.empty(shape, device=parameter.device)
    [group] = [group for group in optimizer.param_groups if any(one is parameter for one in group["params"])]
    counted_on_device = group.get("fused") or group.get("capturable")
    return torch.empty(shape, device=parameter.device if counted_on_device else "cpu")


class Parts:
    """The files of a checkpoint, by tensor."""

    def __init__(self, files: Sequence[Any]) -> None:
        self._held: dict[str, list[tuple[Any, int, list[int]]]] = {}
        for file in files:
            for name, (first, shape) in json.loads((file.metadata() or {}).get(HEADER, "{}")).items():
                self._held.setdefault(name, []).append((file, first, shape))
        self._keys: dict[str, list[str]] = {}
        for name in self._held:
            if name.startswith("optimizer/"):
                _, key, parameter = name.split("/", 2)
                self._keys.setdefault(parameter, []).append(key)

    def keys_of(self, parameter: str) -> list[str]:
        """Names of the optimiser's values for a parameter."""
        return sorted(self._keys.get(parameter, ()))

    def shape(self, name: str) -> list[int]:
        return self._held[name][0][2]

    @torch.no_grad()
    def read(self, name: str, tensor: Tensor) -> None:
        """Fill this process's part of a tensor."""
        part = held_part(tensor)
        if self.shape(name) != part.shape:
            raise ValueError(f"{name}: found shape {self.shape(name)}, expected {part.shape}")
        if not part.shape:
            part.local.copy_(self._held[name][0][0].get_tensor(name))
            return
        missing = len(part.local)
        for file, first, _ in self._held[name]:
            rows = file.get_slice(name)
            low = max(part.first, first)
            high = min(part.first + len(part.local), first + rows.get_shape()[0])
            if low < high:
                part.local[low - part.first : high - part.first].copy_(rows[low - first : high - first])
                missing -= high - low
        if missing:
            raise ValueError(f"{name}: {missing} of its rows are in no part")


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers on the CPU of the first process, one tensor gathered after another; nothing on the
    others. All processes call it.
    """
    found = {}
    for name, tensor in model.state_dict().items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if is_first_process():
            found[name] = whole.detach().cpu()
    return found
