"""The stage that tests/clusters/test_slurm.py holds up: it says that it is at work, and goes on when it is let."""

from __future__ import annotations

from pathlib import Path


def gate(table, folder):
    """Opening a FIFO waits for its other end, so nobody has to guess how long anything takes."""
    import pyarrow.compute as pc

    reached = Path(folder, "reached")
    if reached.exists():
        reached.open("wb").close()
        with Path(folder, "go").open("rb", buffering=0) as go:
            go.read(1)
    return {"letters": pc.utf8_length(table["text"]).cast("int32")}
