"""A reward for what a model writes that has learned nothing: a recipe that is made small goes on with it."""

from __future__ import annotations

import pyarrow as pa


def letters(table: pa.Table) -> dict[str, list[int]]:
    """For `map`."""
    return {"reward": [sum(map(str.isalpha, text)) for text in table["text"].to_pylist()]}
