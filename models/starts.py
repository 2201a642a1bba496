"""Starts that take an SVD, computed once in a group of processes and kept between tries of a run.

An SVD of a [4096, 11008] matrix takes a minute, and a model of that size has 224 of them. Each process makes every n-th
one, all get all by broadcast, and what is kept is read by a later try that finds no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.projection import ProjectionModule

WORTH_KEEPING = 256  # smaller side of a matrix from which its SVD takes longer than writing a file


class Keep(Protocol):
    """Small files by name; a reader sees a whole file or None."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None: ...


def shared_starts(
    modules: Mapping[str, ProjectionModule],
    make: Callable[[str, ProjectionModule], dict[str, Tensor]],
    put: Callable[[ProjectionModule, Mapping[str, Tensor]], None],
    keep: Keep | None,
) -> None:
    """Give every module the tensors that `make` makes for it; all processes of the group call it alike."""
    processes, process_rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    for number, (name, module) in enumerate(modules.items()):
        if number % processes == process_rank:
            put(module, kept_start(name, module, make, keep))
    if processes == 1:
        return
    # the group's own device: NCCL knows no tensor of the CPU
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    for number, module in enumerate(modules.values()):
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            there = tensor.data.to(device)
            dist.broadcast(there, src=number % processes)
            tensor.data.copy_(there)


def kept_start(
    name: str, module: ProjectionModule, make: Callable[[str, ProjectionModule], dict[str, Tensor]], keep: Keep | None
) -> dict[str, Tensor]:
    """The start of one module, read from the cache, else computed and cached."""
    if keep is None or min(module.out_width, module.in_width) < WORTH_KEEPING:
        return make(name, module)
    file = f"start-{name}.safetensors"
    if (data := keep.read(file)) is not None:
        try:
            return load(data)
        except SafetensorError:
            pass  # damaged: computed anew and overwritten
    tensors = {
        part: (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        for part, tensor in make(name, module).items()
    }
    keep.write(file, save(tensors))
    return tensors
