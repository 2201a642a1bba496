"""Columns of numbers and of vectors as a node takes them in: as arrays, each number held against its bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.contract import contiguous
from pipeline.errors import DataError, RecipeError
from pipeline.finite import LARGEST, finite
from stages.documents import ID

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUMBER = re.compile(r"bool|u?int\d*|float\d*|double|halffloat")


def check_numbers(node: str, have: Mapping[str, str], **fields: str | None) -> None:
    """Raise RecipeError where a field names no column of numbers or of bools; None names none."""
    for field, name in fields.items():
        if name is not None and name not in have:
            raise RecipeError(f"{node}.{field}", f"no column {name!r}", f"one of {', '.join(sorted(have))}")
        if name is not None and not NUMBER.fullmatch(have[name]):
            raise RecipeError(f"{node}.{field}", f"{name!r} of type {have[name]}", "a column of numbers")


def numbers_of(
    table: pa.Table,
    column: str,
    place: str,
    least: float = -LARGEST,
    most: float = LARGEST,
    null: bool = True,
    nan_is_null: bool = False,
) -> np.ndarray:
    """Numbers as float64 [rows], NaN for a null; vectors as float32 [rows, width], zeros for a null.

    Raises DataError with the document and the value for a number out of the bounds, and for a null unless `null`.
    """
    import numpy as np
    import pyarrow as pa

    def name(row: int) -> str:
        key = next((key for key in (ID, "_row") if key in table.column_names), None)
        at = row if key is None else table[key][row].as_py()
        return f"{column} of {'document' if key == ID else 'row'} {at!r}"

    values = contiguous(table[column])
    none = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(values.type):
        width = values.type.list_size
        numbers = np.zeros((len(values), width), np.float32)
        numbers[~none] = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    else:
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)  # of a null None, which is NaN
        none = none | np.isnan(numbers) if nan_is_null else none
    if not null and none.any():
        raise DataError(place, f"{name(int(none.argmax()))} is null", "a number for every document")
    return finite(numbers, place, name, least, most, none)
