"""A dedup node run phase by phase over tables in memory, its files really written and read: no engine, no Ray.

Shards, the order of tasks and what is alive can be chosen, so laws over them are tested in milliseconds.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract import Columns, Context, Node, Result, RowPhase, Shard, ShardPhase, Source, StoredFile
from pipeline.files.open_store import open_store


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus(Node):
    """A base of given tables, one a shard."""

    tables: Any
    name: str

    def shards(self) -> list[Shard]:
        sizes = [pc.sum(pc.binary_length(table["text"])).as_py() or 0 for table in self.tables]
        return [
            Shard(self.name, f"{i:03d}", len(table), size)
            for i, (table, size) in enumerate(zip(self.tables, sizes, strict=True))
        ]

    def adds(self):
        return {name: str(self.tables[0][name].type) for name in self.tables[0].column_names}


def corpus(texts: Sequence[str], shards: int = 1, name: str = "0" * 12, **columns: Sequence) -> Corpus:
    """Texts dealt to shards in runs."""
    table = pa.table({"text": pa.array(texts, pa.string()), **columns})
    cuts = [len(texts) * i // shards for i in range(shards + 1)]
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
    return Corpus(tables=tuple(_with_ids(part, f"{name}:{i}") for i, part in enumerate(parts)), name=name)


class Run:
    """The finished phases of one node."""

    def __init__(self, node: Node, folder: Path, against: Sequence[Run] = (), batch: int = 50) -> None:
        self.node, self.folder, self.against, self.batch = node, folder, against, batch
        self.results: dict[str, dict[str, Result]] = {}
        self.rows: dict[str, Columns] = {}

    def all(self, seed: int = 0) -> Run:
        """Every phase, its tasks in an order drawn from the seed."""
        for phase in self.node.phases():
            self.phase(phase, seed)
        return self

    def phase(self, phase, seed: int = 0) -> None:
        shards = {
            shard.name: (shard, table) for shard, table in zip(self.docs().shards(), self.docs().tables, strict=True)
        }
        per_shard = isinstance(phase, RowPhase | ShardPhase)
        keys = list(shards) if per_shard else list(phase.keys(LocalContext(self, phase.name, "keys")))
        self.results[phase.name] = {}
        done = {}
        for key in random.Random(seed).sample(keys, len(keys)):
            ctx = LocalContext(self, phase.name, key, shards[key][0] if per_shard else None)
            if not per_shard:
                done[key] = phase.run(ctx, key)
                continue
            worker = phase.open(ctx)
            take = worker.add if isinstance(phase, ShardPhase) else worker
            made = [take(table) for table in self.batches(shards[key][1], phase.needs)]
            if isinstance(phase, ShardPhase):
                done[key] = worker.finish()
            else:
                self.rows[key] = made
        self.results[phase.name] = {key: done[key] for key in sorted(done)}

    def docs(self) -> Corpus:
        return self.node.docs

    def batches(self, table: pa.Table, columns: Sequence[str]) -> Iterator[pa.Table]:
        table = table.append_column("_row", pa.array(range(len(table)), pa.int64())).select(list(columns))
        for start in range(0, len(table), self.batch):
            yield table.slice(start, self.batch)

    def column(self, name: str) -> list:
        arrays = [part.added[name] for key in sorted(self.rows) for part in self.rows[key]]
        return [
            v for values in arrays for v in (values.tolist() if isinstance(values, np.ndarray) else values.to_pylist())
        ]

    def reasons(self) -> list[str | None]:
        return self._removed("reason")

    def values(self) -> list[float | None]:
        return self._removed("value")

    def _removed(self, what: str) -> list:
        parts = [part for key in sorted(self.rows) for part in self.rows[key]]
        found = [getattr(p.removed, what).to_pylist() if p.removed else [None] * _rows(p) for p in parts]
        return [value for values in found for value in values]

    def kept(self) -> list[int]:
        """Positions of the documents that stay."""
        return [i for i, reason in enumerate(self.reasons()) if reason is None]


class LocalContext(Context):
    def __init__(self, run: Run, phase: str, key: str, shard: Shard | None = None) -> None:
        self.run, self.node, self.phase, self.key, self.shard, self.cpus = run, run.node, phase, key, shard, 1

    def _of(self, of) -> Run:
        return self.run.against[of[1]] if isinstance(of, tuple) else self.run

    def shards(self, of="docs"):
        return self._of(of).docs().shards()

    def rows(self, columns, of="docs", shards=None, only=None):
        run = self._of(of)
        wanted = None if shards is None else {shard.name for shard in shards}
        for shard, table in zip(run.docs().shards(), run.docs().tables, strict=True):
            if wanted is not None and shard.name not in wanted:
                continue
            if isinstance(of, tuple):  # the rows that the earlier node kept
                parts = [(part.removed, _rows(part)) for part in run.rows[shard.name]]
                gone = [r for removed, n in parts for r in (removed.reason.to_pylist() if removed else [None] * n)]
                table = table.append_column("_row", pa.array(range(len(table)), pa.int64()))
                yield shard, table.filter(pa.array([r is None for r in gone])).select(list(columns))
            else:
                for batch in run.batches(table, columns):
                    yield shard, batch

    def reader(self, columns, of="docs"):
        raise NotImplementedError

    def column_rows(self, columns, of="docs"):
        raise NotImplementedError

    def has_column(self, name, of="docs"):
        return name in self._of(of).docs().tables[0].column_names

    def keys(self, phase, of=None):
        return list(self._of(of).results[phase])

    def stored(self, phase, key, ext, of=None):
        path = self.path(phase, key, ext, of)
        return StoredFile(open_store(str(path.parent)), path.name)

    def path(self, phase, key, ext, of=None):
        return self._of(of).folder / phase / f"{key}{ext}"

    def result(self, phase, key, of=None):
        return self._of(of).results[phase][key]

    def sources(self, of="paths"):
        files = [Path(path) for path in getattr(self.node, of)]
        return [
            Source(i, path.name, str(path), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
            for i, path in enumerate(files)
        ]

    def file(self, digest, of="docs"):
        raise NotImplementedError

    def open_source(self, source):
        return open(source.path, "rb")

    def fingerprint(self, of=None):
        return "f" * 64

    def input(self, of):
        return self._of(of).node if isinstance(of, tuple) else getattr(self.node, of)

    def behind(self):
        raise NotImplementedError

    @contextmanager
    def create(self, ext):
        path = self.path(self.phase, self.key, ext)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path

    def temporary(self):
        raise NotImplementedError

    def target(self, address):
        return open_store(address)

    def scratch(self):
        return str(self.run.folder)

    def stopping(self):
        return False

    def log(self, event, **values):
        pass


def _rows(part: Columns) -> int:
    return len(next(iter(part.added.values())))


def _array(values) -> pa.Array:
    return pa.array(values) if isinstance(values, np.ndarray) else values


def _with_ids(table: pa.Table, prefix: str) -> pa.Table:
    return table.append_column("id", pa.array([f"{prefix}:{i}" for i in range(len(table))], pa.string()))
