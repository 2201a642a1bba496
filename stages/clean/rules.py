"""A rule set is a table: fields of a node that hold thresholds, and the columns that they are held against.

A threshold of None turns a rule off; a null score (a rule that does not apply to this document) never removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.contract import Columns, Removed
from stages.batches import BatchNode

if TYPE_CHECKING:
    import pyarrow as pa

# words of the n-grams that Gopher's rules look at: the most frequent ones, and those that come again
TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Rule:
    """Documents go when `column` is below the node's field `field`, or above it where its name begins with `max`;
    equality stays. The reason has the field's name, or that of `says`.
    """

    field: str
    column: str  # one that begins with `_` has what the node's `as` says before it
    kind: str  # the column's Arrow type
    says: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleNode(BatchNode):
    """A row node whose removals are a table of rules: a document goes for the first one that it breaks."""

    rules: ClassVar[tuple[Rule, ...]]
    others: ClassVar[Mapping[str, str]] = {}  # columns that no rule looks at -> their types; they stand behind
    # Low, high and number of bins of a column's histogram, None for one that is not drawn. A column of a rule that is
    # not here is a share: 40 from 0 to 1.
    bins: ClassVar[Mapping[str, tuple[float, float, int] | None]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "reasons" not in cls.__dict__:
            cls.reasons = tuple(dict.fromkeys(f"{cls.kind()}.{rule.says or rule.field}" for rule in cls.rules))

    def _named(self, column: str) -> str:
        return getattr(self, "as_", "") + column if column.startswith("_") else column

    def adds(self):
        kinds = {rule.column: rule.kind for rule in self.rules} | dict(self.others)
        return {self._named(column): kind for column, kind in kinds.items()}

    @property
    def histograms(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        bins = dict.fromkeys((rule.column for rule in self.rules), (0.0, 1.0, 40)) | dict(self.bins)
        fields = {column: [rule.field for rule in self.rules if rule.column == column] for column in bins}
        return {self._named(name): (*many, *fields[name]) for name, many in bins.items() if many is not None}

    def scores(self, table: pa.Table) -> Mapping[str, Any]:
        """The columns of some documents."""
        raise NotImplementedError(f"{type(self).__name__}.scores")

    def rows(self, table: pa.Table) -> Columns:
        return Columns(added=self.scores(table))

    def decide(self, scores: pa.Table) -> Removed | None:
        """The first broken rule of each document, in the order of the set; None when every rule is off."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = []
        for rule in self.rules:
            limit = getattr(self, rule.field)
            if limit is None:
                continue
            values = scores[self._named(rule.column)]
            # in the column's own type: 0.1 as float32 is not 0.1 as float64, and a value at the threshold stays
            beyond = (pc.greater if rule.field.startswith("max") else pc.less)(values, pa.scalar(limit, values.type))
            found.append(Removed.where(beyond, f"{self.kind()}.{rule.says or rule.field}", values, limit))
        return Removed.first(found) if found else None
