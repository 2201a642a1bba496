"""Whether two side-cars of one shard give a phase the same rows, though other columns of theirs differ.

A copy more in a corpus changes the number of copies in every shard that has one, and no row that is alive. So what is
compared is what a phase takes of a side-car: which rows are alive, and of these the columns that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.results.binding import Link


def taken(link: Link, needs: Sequence[str]) -> list[str]:
    """Return the columns that a phase with these needs takes of a node's side-cars, their state apart."""
    text = ["text"] if link.changes_text and "text" in needs else []
    return [*text, *(name for name in link.columns if name in needs)]


def same_rows(one: Path, other: Path, columns: Sequence[str]) -> bool:
    """Return whether two side-cars hold the same rows alive, with the same values in these columns."""
    import pyarrow.compute as pc

    from pipeline.results.rows import read_columns

    tables = [read_columns(path, ["state", *columns]) for path in (one, other)]
    alive = [pc.fill_null(pc.equal(table["state"], 0), False) for table in tables]
    if not alive[0].equals(alive[1]):
        return False
    rows = [table.select(list(columns)).filter(mask) for table, mask in zip(tables, alive, strict=True)]
    return not columns or rows[0].equals(rows[1])
