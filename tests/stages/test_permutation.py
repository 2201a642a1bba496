"""The keyed permutation: a bijection with an inverse, mixed well, another one for another key."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.permutation import Permutation


@given(n=st.integers(1, 3000), key=st.text(max_size=8))
@settings(max_examples=40)
def test_permutation_is_a_bijection_with_its_inverse(n, key):
    permutation = Permutation(n, key)
    places = np.arange(n)
    elements = permutation.forward(places)
    assert np.array_equal(np.sort(elements), places)
    assert np.array_equal(permutation.inverse(elements), places)


def test_permutation_mixes_neighbours_and_depends_on_its_key():
    n = 65_537
    elements = Permutation(n, "a").forward(np.arange(n))
    assert abs(np.corrcoef(elements[:-1], elements[1:])[0, 1]) < 0.02
    assert np.mean(elements == Permutation(n, "b").forward(np.arange(n))) < 0.001
