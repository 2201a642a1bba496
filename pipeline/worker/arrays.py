"""Arrow arrays in the form in which side-cars hold them: one type, one zero, no NaN, one chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import DataError
from pipeline.finite import finite

if TYPE_CHECKING:
    import pyarrow as pa


def one_a_row(
    values: Any, kind: pa.DataType, rows: int, place: str, name: Callable[[int], str] = "value {}".format
) -> pa.Array:
    """Return `rows` values of a type, nulls where `values` is None. Raises DataError for other types, and for a NaN by
    the name of its row.
    """
    import pyarrow as pa

    if values is None:
        return pa.nulls(rows, kind)
    try:
        array = as_array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(place, str(error), str(kind)) from error
    if len(array) != rows:
        raise DataError(place, f"{len(array)} values", f"{rows}, one a row")
    return _normal(array, place, name)


def as_array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return the values as one array of a type."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        values = concat(values.chunks, values.type)
    if isinstance(values, np.ndarray) and values.ndim == 2 and pa.types.is_fixed_size_list(kind):
        numbers = np.ascontiguousarray(values, kind.value_type.to_pandas_dtype())
        values = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), numbers.shape[1])
    if not isinstance(values, pa.Array):
        values = pa.array(values, kind) if pa.types.is_nested(kind) else pa.array(values)
    array: pa.Array = values
    return array if array.type == kind else array.cast(kind)


def concat(parts: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    """Return the parts as one array."""
    import pyarrow as pa

    parts = [part for part in parts if len(part)]
    return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)


def spread(rows: np.ndarray, length: int) -> Callable[[pa.Array], pa.Array]:
    """Return a function that puts value i at place rows[i] of `length`, null elsewhere; rows ascend."""
    import pyarrow as pa

    if len(rows) == length:
        return lambda values: values
    index = np.full(length, -1, np.int64)
    index[rows] = np.arange(len(rows))
    places = pa.array(index, mask=index < 0)
    return lambda values: values.take(places)


def _normal(values: pa.Array, place: str, name: Callable[[int], str]) -> pa.Array:
    """Return the values with -0.0 as 0.0, in vectors too. Raises DataError for a NaN."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_nested(kind):
        return _normal_lists(values, place, name) if pa.types.is_floating(kind.value_type) else values
    if not pa.types.is_floating(kind):
        return values
    numbers = values.to_numpy(zero_copy_only=False)
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    finite(numbers, place, name, -math.inf, math.inf, ~valid)
    # adding zero turns -0.0 into 0.0 and leaves every other number as it is
    return pa.array(np.where(valid, numbers, 0).astype(numbers.dtype) + numbers.dtype.type(0), kind, mask=~valid)


def _normal_lists(values: pa.Array, place: str, name: Callable[[int], str]) -> pa.Array:
    """Return lists of normal numbers. Numbers that memory holds under a null list are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, gone = values.type, values.is_null()
    numbers = _normal(values.flatten(), place, lambda at: name(pc.list_parent_indices(values)[at].as_py()))
    if numbers.null_count:
        raise DataError(place, "a null inside a list", "numbers")
    if pa.types.is_fixed_size_list(kind):
        flat = numbers.to_numpy(zero_copy_only=False)
        places = np.zeros((len(values), kind.list_size), flat.dtype)
        places[~gone.to_numpy(zero_copy_only=False)] = flat.reshape(-1, kind.list_size)
        return pa.FixedSizeListArray.from_arrays(pa.array(places.reshape(-1)), type=kind, mask=gone)
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, numbers, type=kind, mask=gone)
