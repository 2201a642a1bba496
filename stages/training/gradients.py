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
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_many: Any = torch  # its calls over lists of tensors are not among its public names


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
    """Adds up the gradients of micro-batches, given in order, in a fixed binary tree.

    A pair of neighbours needs no memory of its own: the second backward adds to the gradients of the first, which is
    the tree's lowest sum. Each further level keeps one sum in a buffer that is made once. So one or two micro-batches
    need no buffer, 2^k of them k - 1 at most.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self._count = 0  # micro-batches so far
        self._parts: list[tuple[int, list[Tensor]]] = []  # (height, sum), heights falling
        self._free: list[list[Tensor]] = []

    def add(self, *, last: bool) -> None:
        """Take the gradients that a backward has left, or, after the last one, leave their sum on the parameters."""
        self._count += 1
        if self._count % 2 and not last:
            return  # the next backward adds to these
        for parameter in self.parameters:
            if parameter.grad is None:  # a place of the model that no token of this part has used
                parameter.grad = torch.zeros_like(parameter)
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        height = 1
        while self._parts and self._parts[-1][0] == height:
            older = self._parts.pop()[1]
            _many._foreach_add_(grads, older)
            self._free.append(older)
            height += 1
        if last:
            assert not self._parts, "the number of micro-batches is not a power of two"
            self._count = 0
            return
        buffer = self._free.pop() if self._free else [torch.empty_like(grad) for grad in grads]
        _many._foreach_copy_(buffer, grads)
        self._parts.append((height, buffer))
        for parameter in self.parameters:
            parameter.grad = None


def sum_over_processes(vector: Tensor, how: str, theirs: Tensor | None = None) -> None:
    """The sum over all processes, in place. "tree": the same bits for every number of processes; "ring":
    the library's own order, less traffic on more than two processes. `theirs` is room for another's vector.
    """
    if how == "ring":
        dist.all_reduce(vector)
    else:
        _add_up(vector, torch.empty_like(vector) if theirs is None else theirs, 0, dist.get_world_size())


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


def as_columns(*values: Tensor) -> Tensor:
    """Numbers of the same samples, `[u]` each, as the fp64 `[k, u]` of `gather_columns`."""
    return torch.stack([one.double() for one in values])


def gather_columns(mine: Tensor, flag: float, counts: Sequence[int] | None) -> tuple[Tensor, float]:
    """Columns of `mine` [k, n of this process] of all processes, in the order of ranks, on the CPU; and the flag of the
    first one. `counts`: columns of each process, where all know them.
    """
    if counts is None:
        counts = [int(count) for count in gather(mine.new_tensor([mine.shape[1]])).tolist()]
    # processes may have more or fewer, and only equal lengths can be gathered
    widest = max(counts)
    assert mine.shape[1] <= widest, "more samples than were told: filling up would cut some off"
    filled = torch.nn.functional.pad(mine, (0, widest - mine.shape[1]))
    parts = gather(torch.cat([mine.new_tensor([flag]), filled.T.reshape(-1)])).view(len(counts), -1)
    columns = zip(parts[:, 1:].reshape(-1, widest, len(mine)), counts, strict=True)
    # contiguous, since the order of a sum may depend on the layout
    whole = torch.cat([part[:count] for part, count in columns]).T.cpu().contiguous()
    return whole, float(parts[0, 0])


class Exchange:
    """Sums the gradients of whole copies over all processes, in one flat buffer that is made once."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], how: str) -> None:
        self.parameters, self.how = list(parameters), how
        self._flat: Tensor | None = None
        self._theirs: Tensor | None = None

    def sum(self) -> None:
        """Give every parameter the sum; gradients become views of the buffer. Nothing happens in a single process."""
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self.parameters]
        if self._flat is None:
            self._flat = torch.empty(sum(map(len, parts)), dtype=torch.float32, device=parts[0].device)
            self._theirs = torch.empty_like(self._flat) if self.how == "tree" else None
        torch.cat(parts, out=self._flat)
        sum_over_processes(self._flat, self.how, self._theirs)
        at = 0
        for parameter in self.parameters:
            parameter.grad = self._flat[at : at + parameter.numel()].view_as(parameter)
            at += parameter.numel()
