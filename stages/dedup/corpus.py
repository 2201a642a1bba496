"""The rows that a dedup compares, counted through: those of earlier corpora first, so that they win every tie."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
class Origin:
    """Whose files they are: this node's, an earlier one's of the graph (`of`), or one's in another store (`folder`)."""

    of: Of = None
    folder: Path | None = None

    @property
    def old(self) -> bool:
        return self.of is not None or self.folder is not None

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Of a node in another store."""
        assert self.folder is not None
        return json.loads((self.folder / "manifest.json").read_text())

    def keys(self, ctx: Context, phase: str) -> Sequence[str]:
        """Keys of one of its phases."""
        return ctx.keys(phase, of=self.of) if self.folder is None else self.manifest["phases"][phase]

    def path(self, ctx: Context, phase: str, key: str, ext: str) -> Path:
        """A file of one of its tasks."""
        if self.folder is not None:
            return self.folder / "data" / phase / f"{key}{ext}"
        return ctx.path(phase, key, ext, of=self.of)

    def facts(self, ctx: Context, phase: str, key: str) -> Mapping[str, Any]:
        """What one of its tasks said of itself."""
        if self.folder is not None:
            return json.loads((self.folder / "receipts" / phase / f"{key}.json").read_text())["facts"]
        return ctx.result(phase, key, of=self.of).facts

    def removes(self, ctx: Context) -> bool:
        """Whether what it judged to be a duplicate is gone."""
        if self.folder is not None:
            return not self.manifest["fields"]["dry_run"]
        assert self.of is not None, "only an earlier node's verdict stands"
        return not ctx.input(self.of).dry_run  # type: ignore[attr-defined]


OWN = Origin()


@dataclass(frozen=True)
class Part:
    """A shard and who hashed it."""

    shard: Shard
    origin: Origin = OWN

    @property
    def old(self) -> bool:
        return self.origin.old

    def path(self, ctx: Context, ext: str) -> Path:
        """A file of the shard's `keys` phase."""
        return self.origin.path(ctx, KEYS, self.shard.name, ext)

    def facts(self, ctx: Context) -> Mapping[str, Any]:
        """What the shard's `keys` task said of itself."""
        return self.origin.facts(ctx, KEYS, self.shard.name)

    def tables(self, ctx: Context, columns: Sequence[str], only: np.ndarray | None = None) -> Iterator[pa.Table]:
        """Alive rows, where row groups hold some of `only`; none for a node in another store, whose documents are not
        at hand.
        """
        if self.origin.folder is None:
            of = self.origin.of or "docs"
            yield from (table for _, table in ctx.rows(columns, of=of, shards=[self.shard], only=only))


@dataclass(frozen=True)
class Corpus:
    """Part i holds the dense rows first[i] to first[i + 1]; old parts come first."""

    parts: tuple[Part, ...]
    first: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.first[-1])

    @cached_property
    def old(self) -> int:
        """Rows below this number belong to earlier corpora. Asked for every key file."""
        return int(self.first[sum(part.old for part in self.parts)])

    def earlier(self) -> Sequence[Origin]:
        """The nodes of the earlier corpora."""
        return tuple(dict.fromkeys(part.origin for part in self.parts if part.old))


def corpus(ctx: Context) -> Corpus:
    """The corpus of a dedup node; DataError when documents are to be compared with themselves."""
    parts = list(_folders(ctx))
    for i in range(len(getattr(ctx.node, "against", ()))):
        earlier = Origin(("against", i))
        parts += [Part(shard, earlier) for shard in ctx.shards(earlier.of)]
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
        origin = Origin(folder=folder)
        _check_hashes(ctx, origin)
        rows = dict(shards_of(ctx, origin))
        for name in origin.manifest["phases"][KEYS]:
            base, _, key = name.partition("-")
            yield Part(Shard(base, key, rows[name], 0), origin)


def shards_of(ctx: Context, origin: Origin) -> Sequence[tuple[str, int]]:
    """(name, rows) of the shards that a finished dedup has counted its rows through, in order."""
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
