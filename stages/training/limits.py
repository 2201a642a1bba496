"""The rules of a training's numbers beside the bounds of its fields: the field, what was found, what is possible."""

from __future__ import annotations

from models.optimiser import Optimiser
from pipeline.errors import RecipeError


def check_numbers(
    *,
    batch_rows: int,
    micro_batches: int,
    shard: int,
    reduce: str | None,
    workers: int | tuple[int, int],
    sizes: range,
) -> None:
    """Raises RecipeError for the first field of a `pretrain` that no run can have.

    `sizes`: the numbers of processes that `workers` allows.
    """
    possible = f"1 to {micro_batches} (micro_batches)"
    impossible = [size for size in sizes if not 1 <= size <= micro_batches]
    if shard > 1:
        possible = f"multiples of {shard} (shard) that divide {micro_batches} (micro_batches)"
        impossible = [size for size in sizes if size < 1 or size % shard or micro_batches % size]
    rules = (
        ("micro_batches", micro_batches, _is_power_of_two(micro_batches), "a power of two"),
        (
            "batch_rows", batch_rows, batch_rows >= 1 and batch_rows % max(1, micro_batches) == 0,
            f"a multiple of micro_batches ({micro_batches})",
        ),
        (
            "shard", shard, _is_power_of_two(shard) and shard <= micro_batches,
            f"a power of two, at most micro_batches ({micro_batches})",
        ),
        (
            "reduce", reduce, shard == 1 or reduce != "tree",
            f"null or ring with shard {shard}: no process holds a whole gradient",
        ),
        ("workers", workers, bool(sizes), "a number, or the least and the most"),
        ("workers", workers, not impossible, f"{possible}; {_first(impossible)} cannot be"),
    )  # fmt: skip
    for name, found, holds, expected in rules:
        if not holds:
            raise RecipeError(f"pretrain.{name}", f"{found}", expected)


def check_optimizer(optimizer: Optimiser, shard: int) -> None:
    """Raises RecipeError for an optimiser that needs whole matrices where each process holds a piece of them."""
    if shard > 1 and not optimizer.in_shards:
        raise RecipeError(
            "pretrain.optimizer", f"{type(optimizer).__name__} with shard {shard}",
            "whole copies of the weights: its step of a matrix needs all of it", "set shard: 1, or optimizer: adamw",
        )  # fmt: skip


def _first(numbers: list[int]) -> str:
    return ", ".join([*map(str, numbers[:3]), *(["..."] if len(numbers) > 3 else [])])


def _is_power_of_two(number: int) -> bool:
    return number >= 1 and number & (number - 1) == 0
