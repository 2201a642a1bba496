"""Sums over micro-batches and processes whose order is fixed, so that the number of processes leaves the
bits alone.

Floating-point addition is commutative but not associative. A running sum over micro-batches depends on
where processes cut it; a binary tree over their numbers does not, as long as every process owns a whole
subtree (`subtrees`): M a power of two, W at most M. Inside a process the tree is built like a binary
counter (at most log2 M + 1 gradients are alive); across processes the two halves of a node exchange their
sums in pairs, where partners add the same two numbers and so hold the same sum. For W a power of two that
is recursive doubling and all have the same work; else the step takes as long as for the power of two below.

Leaves out sharded gradients (`stages.training.parallel`), and overlap of communication with the backward.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def subtrees(micro_batches: int, processes: int, first: int = 0) -> list[range]:
    """The micro-batches of each process, in order: whole subtrees of the binary tree over all of them,
    numbered from `first`.
    """
    assert 1 <= processes <= micro_batches, "more processes than micro-batches"
    if processes == 1:
        return [range(first, first + micro_batches)]
    half, left = micro_batches // 2, _left_half(processes)
    return subtrees(half, left, first) + subtrees(half, processes - left, first + half)


def _left_half(processes: int) -> int:
    return (processes + 1) // 2


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
    """The sum over all processes, in place. "tree": the same bits for every number of processes; "ring":
    the library's own order, less traffic on more than two processes.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return vector
    if how == "ring":
        dist.all_reduce(vector)
    else:
        _add_up(vector, torch.empty_like(vector), 0, dist.get_world_size())
    return vector


def _add_up(vector: Tensor, theirs: Tensor, first: int, processes: int) -> None:
    """The sum over a run of processes that this one belongs to: over its half, then with a partner's."""
    if processes == 1:
        return
    process_rank, left = dist.get_rank(), _left_half(processes)
    middle, right = first + left, processes - left
    if process_rank < middle:
        _add_up(vector, theirs, first, left)
        place = process_rank - first
        partner = middle + min(place, right - 1)
        receivers = [partner] if place < right else []
    else:
        _add_up(vector, theirs, middle, right)
        place = process_rank - middle
        partner = first + place
        # the left half may have one process more, which has no partner of its own
        receivers = [partner, middle - 1] if place == right - 1 and left > right else [partner]
    exchange = [dist.P2POp(dist.isend, vector, receiver) for receiver in receivers]
    for request in dist.batch_isend_irecv([*exchange, dist.P2POp(dist.irecv, theirs, partner)]):
        request.wait()
    vector.add_(theirs)


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
