"""The acceptance rows as records `{row, what, value, unit, must, holds}`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


def say(line: str) -> None:
    print(line, flush=True)


@dataclass
class Records:
    """Rows in the order they are added; a value that could not be measured is null and does not hold."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def at_least(self, row: str, what: str, value: float | None, least: float, unit: str = "x") -> None:
        self._add(row, what, value, unit, f">= {least:g}", value is not None and value >= least)

    def at_most(self, row: str, what: str, value: float | None, most: float, unit: str = "x") -> None:
        self._add(row, what, value, unit, f"<= {most:g}", value is not None and value <= most)

    def shown(self, row: str, what: str, value: float | None, unit: str = "x") -> None:
        """A measured value that is held against nothing."""
        self._add(row, what, value, unit, "-", True)

    def equal(self, row: str, what: str, holds: bool | None) -> None:
        self._add(row, what, holds, "", "true", bool(holds))

    def _add(self, row: str, what: str, value: Any, unit: str, must: str, holds: bool) -> None:
        record = Record(row, what, round(value, 4) if isinstance(value, float) else value, unit, must, bool(holds))
        self.rows.append(asdict(record))


@dataclass(frozen=True)
class Record:
    row: str
    what: str
    value: Any
    unit: str
    must: str
    holds: bool
