"""The rows that a dedup compares, counted through: those of earlier corpora first, so that they win every tie."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Of, Shard
from pipeline.errors import DataError
from stages.dedup.rows import first_rows

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = "keys"  # the phase that writes one set of key files per shard


@dataclass(frozen=True)
class Part:
    """A shard and who hashed it: this node, an earlier one of the graph (`of`), or one in another store (`folder`)."""

    shard: Shard
    of: Of = None
    folder: Path | None = None

    @property
    def old(self) -> bool:
        return self.of is not None or self.folder is not None

    def path(self, ctx: Context, ext: str) -> Path:
        """A file of the shard's `keys` phase."""
        if self.folder is not None:
            return self.folder / "data" / KEYS / f"{self.shard.name}{ext}"
        return ctx.path(KEYS, self.shard.name, ext, of=self.of)

    def facts(self, ctx: Context) -> Mapping[str, Any]:
        """What the shard's `keys` task said of itself."""
        if self.folder is not None:
            return json.loads((self.folder / "receipts" / KEYS / f"{self.shard.name}.json").read_text())["facts"]
        return ctx.result(KEYS, self.shard.name, of=self.of).facts

    def kept(self, ctx: Context) -> np.ndarray:
        """int64: the rows of an old shard that its node kept."""
        if self.folder is None:
            found = [table["_row"].to_numpy() for table in self.tables(ctx, ["_row"])]
            return np.concatenate([np.zeros(0, np.int64), *found])
        return np.flatnonzero(_state(self.folder, self.shard.name) == 0)

    def tables(self, ctx: Context, columns: Sequence[str], only: np.ndarray | None = None) -> Iterator[pa.Table]:
        """Alive rows, where row groups hold some of `only`; none for a node in another store, whose documents are not
        at hand.
        """
        if self.folder is None:
            of = "docs" if self.of is None else self.of
            yield from (table for _, table in ctx.rows(columns, of=of, shards=[self.shard], only=only))


@dataclass(frozen=True)
class Corpus:
    """Part i holds the dense rows first[i] to first[i + 1]; old parts come first."""

    parts: tuple[Part, ...]
    first: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.first[-1])

    @property
    def old(self) -> int:
        """Rows below this number belong to earlier corpora."""
        return int(self.first[sum(part.old for part in self.parts)])


def corpus(ctx: Context) -> Corpus:
    """The corpus of a dedup node; DataError when documents are to be compared with themselves."""
    parts = list(_folders(ctx))
    for i in range(len(getattr(ctx.node, "against", ()))):
        parts += [Part(shard, ("against", i)) for shard in ctx.shards(("against", i))]
    parts += [Part(shard) for shard in ctx.shards("docs")]
    names = [part.shard.name for part in parts]
    if len(set(names)) < len(names):
        raise DataError(
            f"{ctx.node.kind()}.against",
            "the same base documents as in `docs`, or the same twice",
            "earlier dedup nodes over other documents",
        )
    return Corpus(tuple(parts), first_rows(part.shard.rows for part in parts))


def _folders(ctx: Context) -> Iterator[Part]:
    """Parts of the node folders in `against_folders`, in order of their names."""
    if not getattr(ctx.node, "against_folders", ()):
        return
    found = {Path(s.path).parent for s in ctx.sources("against_folders") if Path(s.path).name == "manifest.json"}
    if not found:
        raise _no_dedup(ctx, "no manifest.json in them")
    for folder in sorted(found, key=lambda path: path.name):
        manifest = json.loads((folder / "manifest.json").read_text())
        _check_hashes(ctx, folder, manifest)
        for name in manifest["phases"][KEYS]:
            base, _, key = name.partition("-")
            yield Part(Shard(base, key, len(_state(folder, name)), 0), folder=folder)


def _check_hashes(ctx: Context, folder: Path, manifest: Mapping[str, Any]) -> None:
    node = ctx.node
    if manifest["kind"] != node.kind() or manifest["version"] != node.version:
        raise _no_dedup(ctx, f"{folder} is of {manifest['kind']}, version {manifest['version']}")
    for name in node.hash_fields:  # type: ignore[attr-defined]
        if manifest["fields"].get(name) != getattr(node, name):
            raise _no_dedup(ctx, f"{folder} was made with {name} = {manifest['fields'].get(name)!r}")


def _no_dedup(ctx: Context, found: str) -> DataError:
    return DataError(
        f"{ctx.node.kind()}.against_folders",
        found,
        f"folders of finished {ctx.node.kind()} nodes with the same keys, such as STORE/nodes/{ctx.node.kind()}-...",
    )


def _state(folder: Path, shard: str) -> np.ndarray:
    """int64[rows]: 0 for a row that is alive after the node, -1 for one gone before it."""
    import pyarrow.parquet as pq

    path = folder / "data" / "rows" / f"{shard}.parquet"
    with pq.ParquetFile(path) as file:
        return file.read(columns=["state"])["state"].fill_null(-1).to_numpy().astype(np.int64)
