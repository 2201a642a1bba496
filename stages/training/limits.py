"""Which numbers a training may have: each rule with the field that breaks it, what was found and what is possible."""

from __future__ import annotations

from pipeline.errors import RecipeError


def check_numbers(
    *,
    steps: int,
    batch_rows: int,
    micro_batches: int,
    shard: int,
    reduce: str | None,
    workers: int | tuple[int, int],
    sizes: range,
    threads: int,
    checkpoint_every: int,
    log_interval: int,
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
        ("steps", steps, steps >= 1, "at least 1"),
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
        ("threads", threads, threads >= 1, "at least 1"),
        ("checkpoint_every", checkpoint_every, checkpoint_every >= 1, "at least 1 step"),
        ("log_interval", log_interval, log_interval >= 1, "at least 1 step"),
    )  # fmt: skip
    for name, found, holds, expected in rules:
        if not holds:
            raise RecipeError(f"pretrain.{name}", f"{found}", expected)


def _first(numbers: list[int]) -> str:
    return ", ".join([*map(str, numbers[:3]), *(["..."] if len(numbers) > 3 else [])])


def _is_power_of_two(number: int) -> bool:
    return number >= 1 and number & (number - 1) == 0
