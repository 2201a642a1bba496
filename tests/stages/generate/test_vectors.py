"""The nearest of some centres, against brute force; columns of vectors with nulls."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stages.generate.vectors import assign
from stages.number_columns import numbers_of


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_the_nearest_centre_is_the_nearest(count, width, k, seed):
    rng = np.random.default_rng(seed)
    vectors, centres = (rng.integers(-3, 4, (n, width)).astype(np.float32) for n in (count, k))
    nearest, distance = assign(vectors, centres)
    apart = np.sqrt(((vectors[:, None].astype(float) - centres[None]) ** 2).sum(-1))
    np.testing.assert_allclose(distance, apart.min(1), atol=1e-6)
    np.testing.assert_array_equal(nearest, apart.argmin(1))


def test_what_is_told_of_a_vector_hangs_on_no_other_one():
    """Nor on a centre that is there twice: the last bits of a product of matrices hang on its shape."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((400, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centres = np.concatenate([vectors[:300], vectors[:300]])
    nearest, distance = assign(vectors, centres)
    assert nearest.max() < 300
    for size in (1, 7, 133):
        parts = [assign(vectors[start : start + size], centres) for start in range(0, 400, size)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), nearest)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), distance)


def test_a_row_without_a_vector_is_zeros():
    column = pa.chunked_array(
        [pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)), pa.array([[3.0, 4.0]], pa.list_(pa.float32(), 2))]
    )
    assert numbers_of(pa.table({"v": column}), "v", "here").tolist() == [[1, 2], [0, 0], [3, 4]]
    none = pa.chunked_array([], pa.list_(pa.float32(), 2))
    assert numbers_of(pa.table({"v": none}), "v", "here").shape == (0, 2)
    assert numbers_of(pa.table({"v": column.slice(1)}), "v", "here").tolist() == [[0, 0], [3, 4]]
