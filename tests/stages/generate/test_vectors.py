"""The nearest of some centres, against brute force; columns of vectors with nulls."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stages.generate.vectors import assign, vectors_of


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_the_nearest_centre_is_the_nearest(count, width, k, seed):
    rng = np.random.default_rng(seed)
    vectors, centres = (rng.integers(-3, 4, (n, width)).astype(np.float32) for n in (count, k))
    nearest, distance = assign(vectors, centres)
    apart = np.sqrt(((vectors[:, None].astype(float) - centres[None]) ** 2).sum(-1))
    np.testing.assert_allclose(distance, apart.min(1), atol=1e-6)
    np.testing.assert_array_equal(nearest, apart.argmin(1))


def test_a_row_without_a_vector_is_zeros():
    column = pa.chunked_array(
        [pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)), pa.array([[3.0, 4.0]], pa.list_(pa.float32(), 2))]
    )
    assert vectors_of(column).tolist() == [[1, 2], [0, 0], [3, 4]]
    assert vectors_of(pa.chunked_array([], pa.list_(pa.float32(), 2))).shape == (0, 2)
    assert vectors_of(column.slice(1)).tolist() == [[0, 0], [3, 4]]
