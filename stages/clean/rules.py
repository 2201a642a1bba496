"""A rule, the part of a rule set: a column, the threshold field that it is compared with, and a reason of its own.

A threshold of None turns a rule off; a null score (a rule that does not apply to this document) never
removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.contract import Removed

if TYPE_CHECKING:
    import pyarrow as pa

# words of the n-grams that Gopher's rules look at: the most frequent ones, and those that come again
TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Rule:
    """Documents go when `column` is below (`min`) or above (`max`) the node's field `field`; equality
    stays."""

    field: str
    column: str
    kind: str  # the column's Arrow type
    side: Literal["min", "max"]

    def reason(self, node: Any) -> str:
        return f"{node.kind()}.{self.field}"


def columns(rules: Sequence[Rule]) -> dict[str, str]:
    """The columns of a rule set, each once."""
    return {rule.column: rule.kind for rule in rules}


Bins = tuple[float, float, int]


def histograms(rules: Sequence[Rule], bins: Mapping[str, Bins]) -> dict[str, tuple[float | str, ...]]:
    """A histogram of every column of a rule set: low, high, bins (40 from 0 to 1 for a share), and its fields."""
    fields = {rule.column: tuple(one.field for one in rules if one.column == rule.column) for rule in rules}
    return {column: (*bins.get(column, (0.0, 1.0, 40)), *names) for column, names in fields.items()}


def apply(node: Any, rules: Sequence[Rule], scores: pa.Table) -> Removed | None:
    """The first broken rule of each document, in the order of the set; None when every rule is off."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for rule in rules:
        limit = getattr(node, rule.field)
        if limit is None:
            continue
        values = scores[rule.column]
        # in the column's own type: 0.1 as float32 is not 0.1 as float64, and a value at the threshold stays
        beyond = (pc.less if rule.side == "min" else pc.greater)(values, pa.scalar(limit, values.type))
        found.append(Removed.where(beyond, rule.reason(node), values, limit))
    return Removed.first(found) if found else None
