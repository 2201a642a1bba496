"""Whether the Ray that is there can run a training."""

from __future__ import annotations

import os

from pipeline.errors import UserError
from stages.training.settings import TrainingSettings


def check_room(node: TrainingSettings, workers: int) -> None:
    """On a machine of one's own no CPU or GPU will ever be added: waiting for more than it has would never end."""
    import ray

    if len(ray.nodes()) > 1 or os.environ.get("RAY_ADDRESS"):
        return
    cpus = workers * node.threads + (node.feed is not None)  # one for the pipeline
    for name, wanted in (("CPU", cpus), ("GPU", workers if node.device == "cuda" else 0)):
        have = int(ray.cluster_resources().get(name, 0))
        if have < wanted:
            place = "pretrain.workers x threads" if name == "CPU" else "pretrain.device: cuda, workers"
            alone = f"set threads: {have}" if name == "CPU" else "set device: cpu"
            then = "set workers: 1" if workers > 1 else alone
            raise UserError(place, f"{wanted}", f"at most {have}, the {name}s of this Ray", then)


def require_cuda(node: TrainingSettings) -> None:
    """Raise UserError where torch sees no GPU on a machine that has one: a group would fail in NCCL, without a word on
    why. Waits for a GPU, as the group would.
    """
    import ray

    if node.device == "cuda" and (error := ray.get(ray.remote(num_cpus=0, num_gpus=1)(_no_gpu).remote())) is not None:
        raise error


def _no_gpu() -> UserError | None:
    from stages.training.process import no_gpu

    return no_gpu()
