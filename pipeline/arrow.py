"""Arrow types by name, and arrays out of whatever a stage returns. Stages take these from `pipeline.contract`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def contiguous(values: Any) -> pa.Array:
    """One Arrow array from an Arrow array, chunked array, numpy array or list; a single chunk is not copied."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values)


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch as Python values. A string that is not UTF-8 is returned as its bytes."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        columns = [_plain_values(column) for column in batch.columns]
        return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain_values(column: pa.Array) -> list[Any]:
    found = []
    for value in column:
        try:
            found.append(value.as_py())
        except UnicodeDecodeError:  # of a string in a list or a struct, nothing
            found.append(value.as_buffer().to_pybytes() if hasattr(value, "as_buffer") else None)
    return found


_VECTOR = re.compile(r"(?P<item>float16|float32)\[(?P<length>[1-9][0-9]*)\]")
_LIST = re.compile(r"list<(?P<item>\w+)>")


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type of a name: `float32`, `string` and so on.

    `float32[384]` and `float16[384]` are vectors, lists of that length; `list<float32>` and `list<int32>` are lists of
    any length.

    Raises ValueError for any other name.
    """
    import pyarrow as pa

    if found := _VECTOR.fullmatch(kind):
        return pa.list_(pa.type_for_alias(found["item"]), int(found["length"]))
    if found := _LIST.fullmatch(kind):
        return pa.list_(pa.type_for_alias(found["item"]))
    return pa.type_for_alias(kind)


def width(kind: str) -> int:
    """Return roughly how many bytes a value of a named type takes in a compressed side-car."""
    if found := _VECTOR.fullmatch(kind):
        return int(found["length"]) * (2 if found["item"] == "float16" else 4)
    return {"bool": 1, "int32": 2, "float32": 3, "int64": 5, "float64": 6}.get(kind, 8)
