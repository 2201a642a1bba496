"""The layer table: forward and backward of one projection, dense against LOST and its relatives.

CPU time of this process, the least of several rounds in which the kinds take turns; one thread. The gradient of the
input is part of it. What autograd keeps is counted by its hooks, and every tensor that torch makes is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.dedup.records import Records, say
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain

SHAPES = ((512, 512, 128), (2736, 1024, 256))  # out, in, rank
MOST = 0.50  # of the dense layer's time, at the larger shape


def kinds(rank: int) -> dict[str, Llama]:
    """Projections by name; their model's own size plays no part."""
    wide = {"hidden": 1024, "inter": 2736, "heads": 16}
    return {
        "dense": Llama("1m", **wide),
        "low-rank": LowRank("1m", rank=rank, **wide),
        "low-rank + SiLU": LowRank("1m", rank=rank, activation="silu", **wide),
        "LOST": Lost("1m", rank=rank, density=0.05, activation="none", **wide),
        "LOST + SiLU": Lost("1m", rank=rank, density=0.05, **wide),
        "SLTrain": SLTrain("1m", rank=rank, density=0.03, **wide),
    }


def made(config: Llama, o: int, i: int) -> nn.Module:
    module = config.module(o, i)
    draw = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.02, generator=draw)
    return module


def step(module: nn.Module, x: Tensor, dy: Tensor, bf16: bool) -> None:
    x.grad = None
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = module(x)
    y.backward(dy.to(y.dtype))


def times(o: int, i: int, rank: int, tokens: int, rounds: int, bf16: bool) -> dict[str, float]:
    """Name -> least CPU seconds."""
    x = torch.randn(tokens, i).requires_grad_()
    dy = torch.randn(tokens, o)
    modules = {name: made(config, o, i) for name, config in kinds(rank).items()}
    found: dict[str, list[float]] = {name: [] for name in modules}
    for turn in range(rounds + 1):
        for name, module in modules.items():
            began = time.process_time()
            step(module, x, dy, bf16)
            if turn:  # the first round warms up
                found[name].append(time.process_time() - began)
    return {name: min(seconds) for name, seconds in found.items()}


@contextmanager
def kept_bytes(module: nn.Module) -> Iterator[list[int]]:
    """Bytes that autograd keeps inside the block, parameters and buffers left out."""
    held = {t.untyped_storage().data_ptr() for t in [*module.parameters(), *module.buffers()]}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage().data_ptr()
        if key not in held:
            held.add(key)
            total[0] += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


class Shapes(TorchDispatchMode):
    """Every shape that an operator returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Callable, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.seen |= {tuple(leaf.shape) for leaf in tree_leaves(found) if isinstance(leaf, Tensor)}
        return found


def measure(records: Records, *, small: bool) -> None:
    torch.set_num_threads(1)
    tokens, rounds = (512, 2) if small else (4096, 6)
    say(f"layer, {tokens} tokens, forward and backward, one thread, CPU ms (least of {rounds} rounds), ratio to dense")
    for o, i, rank in SHAPES:
        for bf16 in (False, True):
            found = times(o, i, rank, tokens, rounds, bf16)
            say(f"  {i} -> {o}, rank {rank}, {'bf16' if bf16 else 'fp32'}")
            for name, seconds in found.items():
                say(f"    {name:16} {1e3 * seconds:9.1f} {seconds / found['dense']:6.2f}")
            ratio = found["LOST + SiLU"] / found["dense"]
            what = f"LOST + SiLU over dense, {i} -> {o}, rank {rank}, {'bf16' if bf16 else 'fp32'}"
            if o == 2736:
                records.at_most("LOST-2", what, ratio, MOST)
            else:
                records.shown("LOST-2", what, ratio)
    promises(records)


def promises(records: Records) -> None:
    o, i, rank, tokens = 96, 64, 16, 50
    config = Lost("1m", rank=rank, density=0.1, hidden=64, inter=96, heads=2)
    module, x = made(config, o, i), torch.randn(tokens, i).requires_grad_()
    with kept_bytes(module) as total:
        y = module(x)
    records.equal("LOST-2", "saved activations are x and h alone", total[0] == 4 * tokens * (i + rank))
    with Shapes() as shapes:
        module(x).sum().backward()
    records.equal("LOST-2", "no [out, in] tensor is made", not {(o, i), (i, o)} & shapes.seen and bool(y.shape))
