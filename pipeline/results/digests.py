"""Digests of columns: of the values alone, however the arrays that hold them were cut and what lies under a null."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

LENGTH = 24  # hex digits


def column_digest(values: pa.Array) -> str:
    """Return a digest of the type, the nulls and the values of an array."""
    state = hashlib.sha256()
    _add(state, values)
    return state.hexdigest()[:LENGTH]


def _add(state: hashlib._Hash, values: pa.Array) -> None:
    import pyarrow as pa

    kind = values.type
    state.update(f"{kind} {len(values)} {values.null_count};".encode())
    if values.null_count:
        state.update(np.packbits(values.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        values = values.drop_null()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _add(state, values.value_lengths())
        _add(state, values.flatten())
    elif pa.types.is_fixed_size_list(kind):
        _add(state, values.flatten())
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        _, places, data = values.buffers()
        bounds = np.frombuffer(places or b"\0\0\0\0", np.int32)[values.offset : values.offset + len(values) + 1]
        state.update(np.diff(bounds).tobytes())
        state.update(memoryview(data or b"")[bounds[0] : bounds[-1]])
    elif pa.types.is_boolean(kind) or pa.types.is_primitive(kind):
        state.update(values.to_numpy(zero_copy_only=False).tobytes())
    else:
        state.update(repr(values.to_pylist()).encode())
