"""The documents that a dedup compares, under dense row numbers: those of earlier corpora first, so they win every tie.

A dense row number counts through the rows of all shards in order. It needs no id column, no service and no shuffle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Of, Shard
from pipeline.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = "keys"  # the phase that writes one set of key files per shard
MAX_NARROW = (1 << 32) - 1  # row numbers below this are held as uint32


def first_rows(counts: Iterable[int]) -> np.ndarray:
    """Return int64[shards + 1]: the dense number of each shard's first row, and last the number of all rows."""
    return np.concatenate([[0], np.cumsum(np.fromiter(counts, np.int64))]).astype(np.int64)


def locate(rows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (shard index, row inside the shard), both int64[n], of dense rows[n]; first: see `first_rows`."""
    rows = rows.astype(np.int64)
    shard = np.searchsorted(first, rows, side="right") - 1
    return shard, rows - first[shard]


def row_type(count: int) -> type[np.uint32] | type[np.int64]:
    """Return the type that holds the dense numbers of `count` rows."""
    return np.uint32 if count < MAX_NARROW else np.int64


@dataclass(frozen=True)
class Origin:
    """The node that hashed a shard: this one, an earlier one of the graph (`of`), one in another store (`folder`)."""

    of: Of = None
    folder: Path | None = None

    @property
    def old(self) -> bool:
        """Whether the node is an earlier one."""
        return self.of is not None or self.folder is not None

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest of a node in another store."""
        assert self.folder is not None
        return json.loads((self.folder / "manifest.json").read_text())

    def keys(self, ctx: Context, phase: str) -> Sequence[str]:
        """Return the keys of one of the node's phases."""
        return ctx.keys(phase, of=self.of) if self.folder is None else self.manifest["phases"][phase]

    def path(self, ctx: Context, phase: str, key: str, ext: str) -> Path:
        """Return the path of a file of one of the node's tasks."""
        if self.folder is not None:
            return self.folder / "data" / phase / f"{key}{ext}"
        return ctx.path(phase, key, ext, of=self.of)

    def facts(self, ctx: Context, phase: str, key: str) -> Mapping[str, Any]:
        """Return the facts of one of the node's tasks."""
        if self.folder is not None:
            return json.loads((self.folder / "receipts" / phase / f"{key}.json").read_text())["facts"]
        return ctx.result(phase, key, of=self.of).facts

    def removes(self, ctx: Context) -> bool:
        """Return whether the duplicates that the node found are removed, and not only reported."""
        if self.folder is not None:
            return not self.manifest["fields"]["dry_run"]
        assert self.of is not None, "only an earlier node's verdict stands"
        return not ctx.input(self.of).dry_run  # type: ignore[attr-defined]


OWN = Origin()


@dataclass(frozen=True)
class HashedShard:
    """A shard, and the node that hashed it."""

    shard: Shard
    origin: Origin = OWN

    @property
    def old(self) -> bool:
        """Whether the shard belongs to an earlier corpus."""
        return self.origin.old

    def path(self, ctx: Context, ext: str) -> Path:
        """Return the path of a file of the shard's `keys` task."""
        return self.origin.path(ctx, KEYS, self.shard.name, ext)

    def facts(self, ctx: Context) -> Mapping[str, Any]:
        """Return the facts of the shard's `keys` task."""
        return self.origin.facts(ctx, KEYS, self.shard.name)

    def tables(self, ctx: Context, columns: Sequence[str], only: np.ndarray | None = None) -> Iterator[pa.Table]:
        """Yield the alive rows, of row groups that hold some of `only`.

        There are none for a node in another store, whose documents are not at hand.
        """
        if self.origin.folder is None:
            of = self.origin.of or "docs"
            yield from (table for _, table in ctx.rows(columns, of=of, shards=[self.shard], only=only))


@dataclass(frozen=True)
class Corpus:
    """The shards in order, those of earlier corpora first; shard i holds the dense rows first[i] to first[i + 1]."""

    parts: tuple[HashedShard, ...]
    first: np.ndarray

    @property
    def rows(self) -> int:
        """The number of rows, removed ones included."""
        return int(self.first[-1])

    @cached_property
    def old(self) -> int:
        """The number of rows of earlier corpora: rows below it are old. Asked for every key file."""
        return int(self.first[sum(part.old for part in self.parts)])

    def earlier(self) -> Sequence[Origin]:
        """Return the nodes of the earlier corpora."""
        return tuple(dict.fromkeys(part.origin for part in self.parts if part.old))


def corpus(ctx: Context) -> Corpus:
    """Return the corpus of a dedup node. Raises DataError when documents would be compared with themselves."""
    parts = list(_folders(ctx))
    for i in range(len(getattr(ctx.node, "against", ()))):
        earlier = Origin(("against", i))
        parts += [HashedShard(shard, earlier) for shard in ctx.shards(earlier.of)]
    parts += [HashedShard(shard) for shard in ctx.shards("docs")]
    names = [part.shard.name for part in parts]
    if len(set(names)) < len(names):
        raise DataError(
            f"{ctx.node.kind()}.against",
            "the same base documents as in `docs`, or the same twice",
            "earlier dedup nodes over other documents",
        )
    return Corpus(tuple(parts), first_rows(part.shard.rows for part in parts))


def _folders(ctx: Context) -> Iterator[HashedShard]:
    """Yield the parts of the node folders in `against_folders`, in order of the nodes' fingerprints."""
    if not getattr(ctx.node, "against_folders", ()):
        return
    found = {Path(s.path).parent for s in ctx.sources("against_folders") if Path(s.path).name == "manifest.json"}
    if not found:
        raise _no_dedup(ctx, "no manifest.json in them")
    # a folder may be called anything: its name is no part of the identity, and the order decides who wins a tie
    for origin in sorted((Origin(folder=folder) for folder in found), key=lambda one: one.manifest["fingerprint"]):
        _check_hashes(ctx, origin)
        rows = dict(shards_of(ctx, origin))
        for name in origin.manifest["phases"][KEYS]:
            base, _, key = name.partition("-")
            yield HashedShard(Shard(base, key, rows[name], 0), origin)


def shards_of(ctx: Context, origin: Origin) -> Sequence[tuple[str, int]]:
    """Return (name, rows) of the shards of a finished dedup, in the order in which it numbered its rows."""
    return json.loads(origin.path(ctx, "components", "all", "-shards.json").read_text())


def _check_hashes(ctx: Context, origin: Origin) -> None:
    node, folder, manifest = ctx.node, origin.folder, origin.manifest
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
