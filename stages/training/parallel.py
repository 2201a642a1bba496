"""How the weights lie over the processes: a whole copy in each, or one copy in shards over several.

Both forms take the gradient of a sum over micro-batches and processes and divide it once by a global total;
the loop sees no difference. `Replicas` add in a fixed tree, so that the bits are those of any number of
processes. `Shards` are FSDP2 on a mesh (replicate, shard): what a block needs is gathered before it runs
and let go after it, gradients arrive added up and cut, in the order of the library's collectives; the same
bits follow for the same number of processes.

Source of the sharding: Zhao et al. 2023, as `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.llama import LlamaModel
from models.optim import trained
from pipeline.errors import RecipeError
from stages.training.gradients import Exchange, TreeSum
from stages.training.limits import check_optimizer
from stages.training.settings import TrainingSettings


class Parallel(Protocol):
    """All processes call both alike, `backward` once for each of their micro-batches of a step."""

    def backward(self, objective: Tensor, *, last: bool) -> None:
        """Add the gradient of a micro-batch's sum of weighted losses; `last`: of this process in this step."""
        ...

    def divide(self, total: float) -> None:
        """Give the parameters the sum over all micro-batches of all processes, divided by `total`."""
        ...


def lay_out(model: LlamaModel, node: TrainingSettings, device: torch.device) -> Parallel:
    """Move a model to the device, in shards if the node wants them; every process holds the same model.

    A model on "meta" gets unfilled memory there, for a checkpoint to be read into.
    """
    check_optimizer(node.optimizer, node.shard)
    if node.shard > 1:
        return Shards(model, node.shard, device)
    return Replicas(model, node.reduce or "tree", device)


def _move(model: nn.Module, device: torch.device) -> None:
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device=device)
    else:
        model.to(device)


class Replicas:
    """A whole copy of the weights in each process."""

    def __init__(self, model: nn.Module, reduce: str, device: torch.device) -> None:
        _move(model, device)
        self.parameters = trained(model)
        self._tree, self._exchange = TreeSum(self.parameters), Exchange(self.parameters, reduce)

    def backward(self, objective: Tensor, *, last: bool) -> None:
        objective.backward()
        self._tree.add(last=last)

    def divide(self, total: float) -> None:
        self._exchange.sum()
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.div_(total)


class Shards:
    """A copy of the weights over each group of `shard` neighbouring processes; raises RecipeError when the
    processes do not make whole groups.
    """

    def __init__(self, model: LlamaModel, shard: int, device: torch.device) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        processes = dist.get_world_size() if dist.is_initialized() else 1
        if processes % shard:
            raise RecipeError("pretrain.shard", f"{shard} with {processes} processes", "a divisor of the processes")
        names = ("replicate", "shard")
        mesh = init_device_mesh(device.type, (processes // shard, shard), mesh_dim_names=names)
        # a block at a time, each moved to the device and cut there: the whole model never lies on it
        sharded = [fully_shard(module, mesh=mesh) for module in (*model.layers, model)]
        for module in sharded:
            # The loss is a sum, and the default is a mean over the processes. The setting holds for one module
            # alone, and Adam hides a wrong scale of a block's gradient from the loss.
            module.set_gradient_divide_factor(1.0)
            # gloo knows no mean, not even one that divides by 1
            module.set_force_sum_reduction_for_comms(True)
        _move(model, device)
        self.root, self.parameters = sharded[-1], trained(model)

    def backward(self, objective: Tensor, *, last: bool) -> None:
        # cut gradients are added up in place; the copies exchange theirs once a step
        self.root.set_is_last_backward(last)
        self.root.set_requires_all_reduce(last)
        objective.backward()

    def divide(self, total: float) -> None:
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.div_(total)
