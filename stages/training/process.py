"""What a training process is set to, and what it has used."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

from pipeline.errors import UserError
from stages.training.settings import TrainingSettings

GARBAGE_STEPS = 50  # between looks for circles among young objects


def prepare(node: TrainingSettings, local_rank: int = 0) -> torch.device:
    """Threads and determinism of this process; the device that it trains on."""
    torch.set_num_threads(node.threads)
    if node.device == "cuda":
        # cuBLAS is deterministic only with a workspace of fixed size
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # an error and no warning: under a warning CUDA's attention still takes a backward that is not deterministic
    torch.use_deterministic_algorithms(True)
    # nothing here reads a number that it has not written, and filling new tensors is 5 % of a step
    cast("Any", torch.utils.deterministic).fill_uninitialized_memory = False
    if node.device == "cpu":
        return torch.device("cpu")
    if (error := no_gpu()) is not None:
        raise error
    # a launcher shows a process all devices of its group, or only its own
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def no_gpu() -> UserError | None:
    """Why this process cannot train on a GPU, None where it can."""
    if torch.cuda.device_count():
        return None
    return UserError(
        "pretrain.device", f"cuda, and torch {torch.__version__} sees no GPU", "a torch built for its CUDA",
        "install one, or set device: cpu",
    )  # fmt: skip


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device's allocator, or the resident peak of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def garbage_kept_back() -> Iterator[None]:
    """Python looks for circles of objects when it likes: one process of a group does while all others wait for it. So
    the objects that are there are left alone, and the loop looks at steps that all processes have in common.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def some_garbage(step: int) -> None:
    """Free the circles among young objects, at some steps."""
    if step % GARBAGE_STEPS == 0:
        gc.collect(1)
