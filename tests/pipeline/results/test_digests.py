"""A digest of a column hangs on its type and values, and on nothing of how an array holds them."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.contract import arrow_type
from pipeline.results.digests import column_digest

VALUES = {
    "bool": [True, None, False, True], "string": ["a", None, "", "bc"], "date32": [1, None, 2, 3],
    "float16": [np.float16(1), None, np.float16(2), np.float16(3)], "float32[2]": [[1, 2], None, [3, 4], [5, 6]],
    "list<int32>": [[1], None, [], [2, 3]], "timestamp[us]": [1, None, 2, 3],
}  # fmt: skip


@pytest.mark.parametrize("kind", [*VALUES, "int32", "int64", "float32", "float64", "binary"])
def test_slices_chunks_and_filters_do_not_show(kind):
    typed = arrow_type(kind)
    values = VALUES.get(kind, [b"x", None, b"", b"yz"] if kind == "binary" else [1, None, 2, 3])
    one = pa.array(values, typed)
    twice = pa.concat_arrays([one, one])
    same = [twice.slice(4), twice.slice(0, 4), twice.filter(pa.array([False] * 4 + [True] * 4))]
    assert {column_digest(each) for each in same} == {column_digest(one)}
    others = [twice, one.slice(1), pa.array(values[::-1], typed), pa.array([*values[:1], *values[2:], None], typed)]
    found = [column_digest(each) for each in [one, *others, pa.nulls(4, typed), pa.array([], typed)]]
    assert len(set(found)) == len(found)


def test_what_lies_under_a_null_does_not_show():
    nulls = pa.array([1, None, 3]).buffers()[0]
    numbers = pa.Array.from_buffers(pa.int64(), 3, [nulls, pa.py_buffer(np.array([1, 99, 3]))])
    assert column_digest(numbers) == column_digest(pa.array([1, None, 3]))
    assert column_digest(pa.array([1, 3])) != column_digest(pa.array([1, 3], pa.int32()))
