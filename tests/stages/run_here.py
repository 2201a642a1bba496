"""A small graph, run in this process; what its last node has written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Node
from pipeline.driver.execute import Driver, Options
from pipeline.errors import NodeFailed
from pipeline.files.objects import LocalStore
from pipeline.graph import build


class Here:
    """A graph whose nodes are finished. Raises what a task has raised."""

    def __init__(self, target: Node, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.target, self.store = root, target, LocalStore(str(root))
        driver = Driver(build([target]), "here", str(root), Options(here=True), None, None)
        try:
            driver.run()
        except NodeFailed as failed:
            raise (failed.__cause__ or failed) from failed
        self.state = driver.state

    def files(self, phase: str) -> dict[str, str]:
        """Name -> SHA-256 of what the target's phase has written; names of shards without their base."""
        folder = self.root / self.state.folder(self.target) / "data" / phase
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        own = self.state.place(self.target).short
        return {
            path.relative_to(folder).as_posix().replace(own, "base"): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }

    def columns(self) -> pa.Table:
        """The added columns and texts of the target's row phase, of all shards."""
        folder = self.root / self.state.folder(self.target) / "data" / self.state.link(self.target).phase
        return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
