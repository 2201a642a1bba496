"""Whether all processes of a run hold the same integer buffers: kept channels, supports of sparse entries."""

from __future__ import annotations

import hashlib

import torch.distributed as dist
from torch import nn


class ChannelsDiffer(RuntimeError):
    """Processes of one run hold different kept channels."""


def channels_digest(model: nn.Module) -> str:
    """SHA-256 over the names and numbers of all integer buffers."""
    digest = hashlib.sha256()
    for name, buffer in model.named_buffers():
        if not buffer.is_floating_point():
            digest.update(name.encode() + b"\0" + buffer.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def check_channels(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Raises ChannelsDiffer unless all processes of the group keep the same channels; one small gather.

    Neither DDP without buffer broadcast nor FSDP2 would repair a difference, and training would run on,
    wrong.
    """
    digests: list[str] = [""] * dist.get_world_size(group)
    dist.all_gather_object(digests, channels_digest(model), group=group)
    if len(set(digests)) > 1:
        odd = [process for process, digest in enumerate(digests) if digest != digests[0]]
        raise ChannelsDiffer(
            f"kept channels of processes {odd} differ from those of process 0: build all models with one seed"
        )
