"""The state of a run as a checkpoint folder: weights and moments in the format of
`torch.distributed.checkpoint`, the small rest beside them as JSON.

Tensors are kept under the names of the parameters, and each process writes its part of them, so any other
number of processes reads them back, whole or in other shards. JSON brings floats back bit for bit. The file
`.metadata` is written last, by the first process, when all parts are on disk: a folder without it is a save
that was cut short.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from stages.training.checkpoint import is_first_process

REST = "run.json"


def write_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, rest: dict[str, Any]) -> None:
    """Write this process's part; all processes call it, with one folder or with folders that are put
    together afterwards. `rest`: JSON values, from the first process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_first_process():
        with open(folder / REST, "w", encoding="utf-8") as file:
            json.dump(rest, file)
            file.flush()
            os.fsync(file.fileno())
    weights, optimizer_state = get_state_dict(model, optimizer)
    with _alone_is_no_mistake():
        save(_tensors(weights, optimizer_state), storage_writer=FileSystemWriter(folder))


def read_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load weights and moments in place, whatever number of processes wrote them; returns the rest."""
    # a fresh optimiser has no moments to load into: torch makes them by a step of zeros
    weights, optimizer_state = get_state_dict(model, optimizer)
    with _alone_is_no_mistake():
        load(_tensors(weights, optimizer_state), storage_reader=FileSystemReader(folder))
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=optimizer_state)
    return json.loads((folder / REST).read_text(encoding="utf-8"))


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers, gathered on the CPU of the first process; nothing on the others."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))


def _tensors(weights: dict[str, Any], optimizer_state: dict[str, Any]) -> dict[str, Any]:
    # groups (learning rates, decay) are configuration and the step's business, so they are not kept
    return {"model": weights, "optimizer": optimizer_state["state"]}


@contextmanager
def _alone_is_no_mistake() -> Iterator[None]:
    """Without torch's warning to a process that belongs to no group."""
    with warnings.catch_warnings():
        if not dist.is_initialized():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
