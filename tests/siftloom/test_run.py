"""A run as a user holds it: its rows as data sets of other libraries."""

from __future__ import annotations

import pytest
from command_line import Small

from siftloom import open_run


@pytest.mark.long
def test_a_ray_dataset_and_a_hugging_face_dataset_hold_the_rows_of_a_node(local_ray: None, small: Small) -> None:
    run = open_run(str(small.folder / "kept"), "small")
    view = run[run.nodes[-1].label]
    rows = view.rows(["id", "text"]).to_pylist()
    assert rows
    assert sorted(view.dataset().take_all(), key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])
    assert view.to_hf().to_list() == rows
    assert view.to_pandas().to_dict("records") == rows
    assert view.to_polars(["id"]).to_dicts() == [{"id": row["id"]} for row in rows]
