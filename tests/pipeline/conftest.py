"""One finished run of the whole test graph, made once; tests that change a store change a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from corpus import bytes_of, whole, write_corpus

from pipeline.driver.execute import Options, run
from pipeline.driver.plan import Entry, plan
from pipeline.graph import Graph
from pipeline.run import StoredRun, open_run


@dataclass(frozen=True)
class Finished:
    """A store in which the graph called `whole` has run over `paths`."""

    store: Path
    paths: tuple[str, ...]

    def graph(self, **changed: dict[str, Any]) -> Graph:
        return whole(self.paths, **changed)

    def run(self, name: str = "whole", **changed: dict[str, Any]) -> StoredRun:
        return run(self.graph(**changed), name=name, store=str(self.store), options=Options(here=True))

    def plan(self, name: str = "whole", **changed: dict[str, Any]) -> dict[str, Entry]:
        return {entry.name: entry for entry in plan(self.graph(**changed), str(self.store), name).entries}

    def open(self, name: str = "whole") -> StoredRun:
        return open_run(str(self.store), name)

    def bytes(self) -> dict[str, str]:
        return bytes_of(self.store)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """For reading only."""
    folder = tmp_path_factory.mktemp("whole")
    made = Finished(folder / "store", write_corpus(folder / "in"))
    made.run()
    return made


@pytest.fixture
def copy(finished, tmp_path) -> Finished:
    """A copy of the finished store, over the same input."""
    shutil.copytree(finished.store, tmp_path / "store")
    return Finished(tmp_path / "store", finished.paths)


@pytest.fixture
def marks(tmp_path) -> tuple[str, Callable[[], int]]:
    """A folder for the marks of scorers, and how many there are."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return str(folder), lambda: len(list(folder.iterdir()))


@pytest.fixture
def disk(small_disk):
    """A file system of one megabyte."""
    return small_disk(1)
