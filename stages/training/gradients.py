"""Sums over micro-batches and processes whose order is fixed, so that the number of processes leaves the
bits alone.

Floating-point addition is commutative but not associative. A running sum over micro-batches depends on
where processes cut it; a binary tree over their numbers does not, as long as every process owns a whole
subtree: M a power of two, W dividing it. Inside a process the tree is built like a binary counter (at most
log2 M + 1 gradients are alive); across processes by recursive doubling, where partners add the same two
numbers and so hold the same sum.

Leaves out sharded gradients, and overlap of communication with the backward.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class TreeSum:
    """Adds vectors, given in order, in a fixed binary tree."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Tensor]] = []  # (height, sum), heights falling

    def add(self, vector: Tensor) -> None:
        """Takes over the vector."""
        height = 0
        while self._parts and self._parts[-1][0] == height:
            vector = self._parts.pop()[1].add_(vector)
            height += 1
        self._parts.append((height, vector))

    def total(self) -> Tensor:
        """The sum; the number of vectors must have been a power of two."""
        assert len(self._parts) == 1, "the number of micro-batches is not a power of two"
        return self._parts[0][1]


def sum_over_processes(vector: Tensor, how: str) -> Tensor:
    """The sum over all processes, in place. "tree": the same bits for every power of two of processes;
    "ring": the library's own order, less traffic on more than two processes.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return vector
    if how == "ring":
        dist.all_reduce(vector)
        return vector
    process_rank, distance = dist.get_rank(), 1
    theirs = torch.empty_like(vector)
    while distance < dist.get_world_size():
        partner = process_rank ^ distance
        exchange = [dist.P2POp(dist.isend, vector, partner), dist.P2POp(dist.irecv, theirs, partner)]
        for request in dist.batch_isend_irecv(exchange):
            request.wait()
        vector.add_(theirs)
        distance *= 2
    return vector


def gather(vector: Tensor) -> Tensor:
    """The vectors of all processes, equally long, one after another in the order of ranks."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return vector
    parts = [torch.empty_like(vector) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, vector)
    return torch.cat(parts)


def take_gradients(parameters: Sequence[torch.nn.Parameter]) -> Tensor:
    """All gradients as one fp32 vector; the parameters have none afterwards."""
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).to(torch.float32).reshape(-1) for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return torch.cat(parts)


def give_gradients(parameters: Sequence[torch.nn.Parameter], vector: Tensor) -> None:
    """The inverse of `take_gradients`; gradients become views of the vector."""
    at = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad = vector[at : at + size].view_as(parameter)
        at += size
