"""The contract's context over a folder and tables in memory: enough to run one task of one node without the
engine.

Files are really written and read; inputs are given as tables with the columns that the task asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from pipeline.contract import Context, Node, Result, Shard, Source, StoredFile, TaskPhase
from pipeline.files.open_store import open_store


class LocalContext(Context):
    """`tables`: input field -> alive rows. `files`: sources field -> paths. `phase`/`key` name the task that
    writes."""

    def __init__(self, node: Node, folder: Path, tables: Mapping[str, pa.Table] | None = None, files=None):
        self.node, self.folder, self.cpus, self.shard = node, folder, 1, None
        self.tables = {field: _with_ids(table) for field, table in (tables or {}).items()}
        self.files = {field: _listing(paths) for field, paths in (files or {}).items()}
        self.phase = self.key = ""
        self.results: dict[tuple[str, str], Result] = {}
        self.passed: dict[Node, Mapping[str, int]] = {}

    def run(self, phase: TaskPhase) -> dict[str, Result]:
        """Every task of a phase, in order."""
        done = {}
        for key in phase.keys(self):
            self.phase, self.key = phase.name, key
            done[key] = self.results[phase.name, key] = phase.run(self, key)
        return done

    def run_all(self) -> dict[str, Result]:
        """Every task phase; the results of the last one."""
        return [self.run(phase) for phase in self.node.phases() if isinstance(phase, TaskPhase)][-1]

    def shards(self, of="docs"):
        return [Shard("0" * 12, "all", self.tables[of].num_rows, 0)]

    def rows(self, columns, of="docs", shards=None) -> Iterator[tuple[Shard, pa.Table]]:
        table = self.tables[of]
        for start in range(0, table.num_rows, 100):
            yield self.shards(of)[0], table.slice(start, 100).select(columns)

    def reader(self, columns, of="docs"):
        raise NotImplementedError

    def column_rows(self, columns, of="docs"):
        yield from self.rows(columns, of)

    def has_column(self, name, of="docs"):
        return name in self.tables[of].column_names

    def keys(self, phase, of=None):
        return [key for name, key in self.results if name == phase]

    def stored(self, phase, key, ext, of=None):
        path = self.path(phase, key, ext, of)
        return StoredFile(open_store(str(path.parent)), path.name)

    def path(self, phase, key, ext, of=None):
        return self.folder / phase / f"{key}{ext}"

    def result(self, phase, key, of=None):
        return self.results[phase, key]

    def sources(self, of="paths"):
        return self.files.get(of, [])

    def file(self, digest, of="docs"):
        return next(source for listed in self.files.values() for source in listed if source.digest == digest)

    def open_source(self, source):
        return open(source.path, "rb")

    def fingerprint(self, of=None):
        return "f" * 64

    def input(self, of):
        return getattr(self.node, of)

    def behind(self):
        return self.passed.items()

    @contextmanager
    def create(self, ext):
        path = self.path(self.phase, self.key, ext)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def temporary(self):
        raise NotImplementedError

    def target(self, address):
        return open_store(address)

    def scratch(self):
        return str(self.folder)

    def stopping(self):
        return False

    def log(self, event, **values):
        pass


def _with_ids(table: pa.Table) -> pa.Table:
    """A table of documents: each has an id."""
    if "id" in table.column_names:
        return table
    return table.append_column("id", pa.array([f"d:{row}" for row in range(table.num_rows)], pa.string()))


def _listing(paths) -> list[Source]:
    found = sorted((Path(path) for path in paths), key=lambda path: path.name)
    return [
        Source(i, path.name, str(path), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for i, path in enumerate(found)
    ]
