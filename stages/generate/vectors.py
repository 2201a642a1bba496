"""Columns of vectors in numpy: reading them, the nearest of some centres, files of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def vectors_of(column: pa.ChunkedArray) -> np.ndarray:
    """float32 `[rows, width]`; zeros where a row has no vector."""
    import numpy as np
    import pyarrow as pa

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # of no chunk at all
        whole = pa.array([], column.type)
    width = whole.type.list_size
    found = np.zeros((len(whole), width), np.float32)
    found[~whole.is_null().to_numpy(zero_copy_only=False)] = whole.flatten().to_numpy().reshape(-1, width)
    return found


def assign(vectors: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nearest centre int64, its distance float32) of every vector; the lower number where two are as near."""
    import numpy as np

    nearest, distance = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
    half = (centres.astype(np.float64) ** 2).sum(1) / 2
    step = max(1, (1 << 22) // len(centres))
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step].astype(np.float64)
        closeness = part @ centres.T.astype(np.float64) - half
        nearest[start : start + step] = closeness.argmax(1)
        best = closeness[np.arange(len(part)), nearest[start : start + step]]
        distance[start : start + step] = np.sqrt(np.maximum((part**2).sum(1) - 2 * best, 0.0))
    return nearest, distance


def save(path: Any, array: np.ndarray) -> None:
    """`np.save` under the path's own name."""
    import numpy as np

    with open(path, "wb") as file:
        np.save(file, array)
