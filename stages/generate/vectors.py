"""Vectors in numpy: the nearest of some centres, files of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import RecipeError
from stages.number_columns import numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


NEAR = 1e-9  # of a closeness: rounding is far below, and two centres are hardly ever as near


def check_vectors(node: str, have: Mapping[str, str], **fields: str) -> None:
    """Raise RecipeError where a field names no column of vectors, or where their widths differ."""
    for field, name in fields.items():
        if not have.get(name, "").startswith("float32["):
            found = f"no column {name!r}" if name not in have else f"{name!r} of type {have[name]}"
            raise RecipeError(f"{node}.{field}", found, "vectors, as embed adds them", "embed")
    if len({have[name] for name in fields.values()}) > 1:
        found = " and ".join(f"{name!r} of type {have[name]}" for name in fields.values())
        raise RecipeError(f"{node}.{', '.join(fields)}", found, "vectors of one width")


def cosines(table: pa.Table, left: str, right: str, place: str) -> np.ndarray:
    """float64 `[rows]`: the cosine of every two vectors; 0 where one of them has no length."""
    import numpy as np

    a, b = (numbers_of(table, column, place).astype(np.float64) for column in (left, right))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / lengths.clip(1e-12)


def assign(vectors: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nearest centre int64, its distance float32) of every vector; the lower number where two are as near.

    The last bits of a product of matrices hang on how many rows it has, so it only finds the centres that may be the
    nearest: what is told of a vector is computed for it alone.
    """
    import numpy as np

    nearest, squares = np.zeros(len(vectors), np.int64), np.full(len(vectors), np.inf)
    wide = centres.astype(np.float64)
    half = (wide**2).sum(1) / 2
    step = max(1, (1 << 22) // len(centres))
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step].astype(np.float64)
        closeness = part @ wide.T - half
        best = closeness.max(1, keepdims=True)
        near = closeness >= best - NEAR * (1 + np.abs(best))
        for centre in np.flatnonzero(near.any(0)):  # ascending, so the lower number wins
            at = np.flatnonzero(near[:, centre])
            found = ((part[at] - wide[centre]) ** 2).sum(1)
            closer = found < squares[start + at]
            squares[start + at[closer]], nearest[start + at[closer]] = found[closer], centre
    assert np.isfinite(squares).all(), "a vector or a centre that is no number"
    return nearest, np.sqrt(squares).astype(np.float32)


def add_up(sums: np.ndarray, vectors: np.ndarray, centres: np.ndarray) -> float:
    """Add vectors to the sums of their clusters, float64 [k, 1 + width] with their numbers in front, one after another.
    Return the sum of their distances.
    """
    import numpy as np

    nearest, distance = assign(vectors, centres)
    np.add.at(sums[:, 0], nearest, 1.0)
    np.add.at(sums[:, 1:], nearest, vectors.astype(np.float64))
    return float(distance.astype(np.float64).sum())


def move(centres: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, float]:
    """The centres of such sums, float32, and how far they moved, as the root mean square over all. One without vectors
    stays where it is.
    """
    import numpy as np

    counts = sums[:, :1]
    after = np.where(counts > 0, sums[:, 1:] / np.maximum(counts, 1), centres).astype(np.float32)
    return after, float(np.sqrt(((after - centres).astype(np.float64) ** 2).sum(1).mean()))


def save(path: Any, array: np.ndarray) -> None:
    """`np.save` under the path's own name."""
    import numpy as np

    with open(path, "wb") as file:
        np.save(file, array)
