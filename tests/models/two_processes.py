"""Run by `test_processes.py` as two gloo processes: `two_processes.py RANK RENDEZVOUS OUT`; process 0
writes figures.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from models.build import build
from models.channels import ChannelsDiffer, check_channels
from models.llama import LlamaModel
from models.losses import IGNORE, sum_rows
from models.optim import clip_gradients
from models.optim_config import AdamW
from models.presets import Lost
from models.reweight import batch_bounds, raw_weights, weights
from models.reweight_config import LinUpper
from tests.models.calls import losses as token_losses

CONFIG = Lost("1m", layers=2, rank=9, density=0.05)
REWEIGHT = LinUpper(r=0.5, warmup=0.0, ramp=0.0)
WORDS, ROWS, LENGTH, WORLD = 50, 8, 12, 2
AT = {"step": 5, "steps": 10}


def model() -> LlamaModel:
    return build(CONFIG, WORDS, LENGTH, seed=0).double()


def batch() -> tuple[Tensor, Tensor]:
    """Rows of unequal length, some so repetitive that their losses differ."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, WORDS, (ROWS, LENGTH + 1), generator=generator)
    labels = ids[:, 1:].clone()
    for row in range(ROWS):
        labels[row, LENGTH - row :] = IGNORE
    return ids[:, :-1], labels


def gathered(values: Tensor) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(WORLD)]
    dist.all_gather(parts, values)
    return torch.cat(parts)


def losses(net: torch.nn.Module, rows: slice) -> tuple[Tensor, Tensor]:
    """Mean loss and tokens of the rows."""
    ids, labels = batch()
    sums, counts = sum_rows(token_losses(net, ids[rows], labels[rows]), labels[rows])
    return sums / counts, counts


def flat(net: torch.nn.Module) -> Tensor:
    """All gradients as one vector, sharded ones put together."""
    grads = [p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad for p in net.parameters()]
    return torch.cat([grad.flatten() for grad in grads])


def reference() -> tuple[Tensor, Tensor]:
    """Gradient and weights of the whole batch in one process."""
    net = model()
    ell, n = losses(net, slice(None))
    w = weights(REWEIGHT, ell, n, **AT)
    (w * ell).sum().backward()
    return flat(net), w


Rule = Callable[[Tensor, Tensor, int], tuple[Tensor, float]]


def by_gather(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    """Global weights of all samples, this process's slice, times the world, whose mean the averaging
    undoes.
    """
    w = weights(REWEIGHT, gathered(ell.detach()), gathered(n), **AT).chunk(WORLD)[process_rank]
    return WORLD * w, 1.0


def by_bounds(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    """Raw weights under shared bounds; the sum divides the gradient afterwards."""
    bounds = batch_bounds(REWEIGHT, gathered(ell.detach()), gathered(n))
    g = raw_weights(REWEIGHT, ell.detach(), n, **AT, bounds=bounds)
    return WORLD * g, gathered(g).sum().item()


def local_softmax(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    return weights(REWEIGHT, ell.detach(), n, **AT), 1.0


def without_world(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    return by_gather(ell, n, process_rank)[0] / WORLD, 1.0


def first_slice_for_all(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    return by_gather(ell, n, 0)[0], 1.0


def by_local_tokens(ell: Tensor, n: Tensor, process_rank: int) -> tuple[Tensor, float]:
    """The second form in the authors' trainer: right when all rows are equally long, and only then."""
    w = weights(REWEIGHT, gathered(ell.detach()), gathered(n), **AT).chunk(WORLD)[process_rank]
    return WORLD * len(ell) * w * n / n.sum(), 1.0


def error_of(rule: Rule, wrap: Callable[[LlamaModel], torch.nn.Module], process_rank: int) -> float:
    """Relative error of the gradient that two processes make by this rule."""
    net = wrap(model())
    per = ROWS // WORLD
    ell, n = losses(net, slice(process_rank * per, (process_rank + 1) * per))
    w, divisor = rule(ell, n, process_rank)
    (w * ell).sum().backward()
    expected, _ = reference()
    return ((flat(net) / divisor - expected).norm() / expected.norm()).item()


def plain_ddp(net: LlamaModel) -> torch.nn.Module:
    return DistributedDataParallel(net)


def sharded(net: LlamaModel) -> torch.nn.Module:
    mesh = init_device_mesh("cpu", (WORLD,))
    for block in net.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
    for module in net.modules():
        if isinstance(module, FSDPModule):
            # gloo cannot average: sum, and divide here by the world as DDP does
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(float(WORLD))
    return net


def sharded_norm(process_rank: int) -> dict[str, float]:
    """Clipping and parameter groups of a sharded model beside those of a whole one."""
    ids, labels = batch()
    found = {}
    whole, parts = model(), sharded(model())
    for name, net in (("whole", whole), ("sharded", parts)):
        token_losses(net, ids, labels).sum().backward()
        found[f"norm {name}"] = clip_gradients(net.parameters(), 0.5).item()
        found[f"after {name}"] = flat(net).norm().item()
        groups = AdamW().make(net).param_groups
        found[f"groups {name}"] = [[group["lr_factor"], len(group["params"])] for group in groups]
    return found


def digest_check(process_rank: int) -> dict[str, bool]:
    check_channels(build(CONFIG, WORDS, LENGTH, seed=4))
    # a start without an SVD, which each process makes for itself
    alone = replace(CONFIG, init="haar", select="random")
    try:
        check_channels(build(alone, WORDS, LENGTH, seed=process_rank))
    except ChannelsDiffer:
        return {"seeds differ": True}
    return {"seeds differ": False}


def main(process_rank: int, rendezvous: str, out: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=process_rank, world_size=WORLD)
    _, w = reference()
    per = ROWS // WORLD
    ell, n = losses(model(), slice(process_rank * per, (process_rank + 1) * per))
    again = weights(REWEIGHT, gathered(ell.detach()), gathered(n), **AT)
    figures: dict[str, object] = {"weights differ by": (again - w).abs().max().item()}
    for rule in (by_gather, by_bounds, local_softmax, without_world, first_slice_for_all, by_local_tokens):
        figures[f"ddp {rule.__name__}"] = error_of(rule, plain_ddp, process_rank)
    figures["fsdp by_gather"] = error_of(by_gather, sharded, process_rank)
    figures |= sharded_norm(process_rank) | digest_check(process_rank)
    if process_rank == 0:
        out.write_text(json.dumps(figures))
    dist.destroy_process_group()
    # The sharded model's mesh keeps gloo's threads alive, and one that still lets go of a tensor while the interpreter
    # ends aborts the process (pytorch/pytorch#179291). All is written: end without that.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
