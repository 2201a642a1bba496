"""What a stage gives back: columns and removals of a batch, what a task says of itself, and writers of shards.

Stages take these from `pipeline.contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.arrow import contiguous

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Removed:
    """Which rows of a batch go, and why. All three arrays are as long as the batch.

    reason     string, null = the row stays; every name must stand in the node's `reasons`
    value      float64, what was measured (null where nothing was)
    threshold  float64, what it was held against
    """

    reason: pa.Array
    value: pa.Array | None = None
    threshold: pa.Array | None = None

    @staticmethod
    def where(mask: Any, reason: str, value: Any = None, threshold: float | None = None) -> Removed:
        """One rule: rows where `mask` (null counts as false) is true go for `reason`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        mask = pc.fill_null(contiguous(mask), False)
        nothing = pa.scalar(None, pa.float64())
        pick = pc.if_else
        return Removed(
            reason=pick(mask, pa.scalar(reason), pa.scalar(None, pa.string())),
            value=None if value is None else pick(mask, contiguous(value).cast(pa.float64()), nothing),
            threshold=None if threshold is None else pick(mask, pa.scalar(float(threshold)), nothing),
        )

    @staticmethod
    def first(rules: Sequence[Removed]) -> Removed:
        """Several rules in order: a row is removed by the first rule that it breaks."""
        import pyarrow as pa
        import pyarrow.compute as pc

        reason, value, limit = rules[0].reason, rules[0].value, rules[0].threshold
        length = len(reason)
        nothing = pa.nulls(length, pa.float64())
        value, limit = nothing if value is None else value, nothing if limit is None else limit
        for rule in rules[1:]:
            free = pc.is_null(reason)
            reason = pc.if_else(free, rule.reason, reason)
            value = pc.if_else(free, nothing if rule.value is None else rule.value, value)
            limit = pc.if_else(free, nothing if rule.threshold is None else rule.threshold, limit)
        return Removed(reason, value, limit)


@dataclass(frozen=True)
class Columns:
    """What a row function says of one batch; every array is as long as the batch.

    added    the columns the node declares in `adds()`, of the declared types
    removed  which rows go; leave it out when the node overrides `decide`
    text     the changed text, null = unchanged; only from a node with `changes_text`
    errors   per row None, or what went wrong with this row alone, of a class in the node's `row_errors`; its other
             values do not count
    """

    added: Mapping[str, Any] = field(default_factory=dict)
    removed: Removed | None = None
    text: Any | None = None
    errors: Sequence[Exception | None] | None = None


RowFunction = Callable[["pa.Table"], Columns]


@dataclass(frozen=True)
class Result:
    """What a task says of itself in its receipt; must be a function of its inputs alone.

    counts  whole numbers that may be added over tasks (the conservation law is checked on these sums)
    facts   anything small and JSON-shaped (at most 4 MiB)
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class ShardWriter(Protocol):
    """Takes the alive rows of one shard, batch by batch, and ends in a result."""

    def add(self, table: pa.Table) -> None: ...

    def finish(self) -> Result: ...


class PieceWriter(Protocol):
    """A writer in two steps, so that the costly one is not lost with a killed worker.

    `work` is the costly step and a function of one batch alone. `add` takes rows, with what `work` returned of them, in
    the order of the rows. See
    `ShardPhase.commit_rows`.
    """

    def work(self, table: pa.Table) -> pa.Table: ...

    def add(self, table: pa.Table, worked: pa.Table) -> None: ...

    def finish(self) -> Result: ...
