"""One row of the table that the benchmarks print."""

from __future__ import annotations


def record(row: str, what: str, value: float, unit: str, most: float | None = None) -> dict:
    """A measured value; with `most` it is held against that bound."""
    must = None if most is None else f"<= {most:g}"
    return {"row": row, "what": what, "value": value, "unit": unit, "must": must,
            "holds": None if most is None else value <= most}  # fmt: skip
