"""Batches of whole groups, however the rows arrive."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.worker.groups import GroupCutter


def cut(tables: list[pa.Table], rows: int) -> list[list]:
    cutter = GroupCutter("group", rows)
    found = [batch for table in tables for batch in cutter.add(table)]
    return [batch["group"].to_pylist() for batch in [*found, *cutter.end()]]


RUNS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(1, 12)), min_size=1, max_size=12)


@given(RUNS, st.integers(1, 9), st.lists(st.integers(1, 9), min_size=1))
def test_no_batch_parts_a_group_and_all_are_as_small_as_may_be(runs, rows, arrivals):
    groups = [value for value, size in runs for _ in range(size)]
    whole = pa.table({"group": pa.array(groups, pa.string())})
    parts, at = [], 0
    for size in arrivals:
        parts.append(whole.slice(at, size))
        at += size
    parts.append(whole.slice(at))
    found = cut(parts, rows)
    assert [value for batch in found for value in batch] == groups
    assert found == [batch for batch in cut([whole], rows) if batch]
    for batch, later in pairwise(found):
        assert batch[-1] != later[0]
        assert len(batch) >= rows
        last = next((n for n in range(len(batch), 0, -1) if batch[n - 1] != batch[-1]), 0)
        assert last < rows  # without its last group it would be too small
