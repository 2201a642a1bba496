"""Rows from manifests alone: the same streams that the engine makes from a graph, read back without the classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.contract import Node, Source
from pipeline.errors import DataError
from pipeline.store.binding import BaseShard, Link, Place, Stream, base_shards
from pipeline.store.objects import Store
from pipeline.store.rows import ShardView, alive_rows

if TYPE_CHECKING:
    import pyarrow as pa

Manifest = dict[str, Any]


class _Named(Node):
    """Stands for a node of which only the kind is known."""

    kind_name = ""

    def __init__(self, kind: str) -> None:
        object.__setattr__(self, "kind_name", kind)

    def kind(self) -> str:  # type: ignore[override]
        return self.kind_name


class Shelf:
    """The finished nodes of a store, by folder and by fingerprint."""

    def __init__(self, store: Store, sources: Sequence[Mapping[str, Any]]) -> None:
        self.store = store
        self._sources = [Source(**source) for source in sources]
        self._manifests: dict[str, Manifest] = {}
        self._folders: dict[str, str] | None = None

    def manifest(self, folder: str) -> Manifest | None:
        if folder not in self._manifests:
            data = self.store.read(f"{folder}/manifest.json")
            if data is None:
                return None
            self._manifests[folder] = json.loads(data)
        return self._manifests[folder]

    def by_fingerprint(self, fingerprint: str) -> Manifest:
        if self._folders is None:
            self._folders = {name.rpartition("-")[2]: f"nodes/{name}" for name in self.store.names("nodes")}
        folder = self._folders.get(fingerprint[:12])
        found = self.manifest(folder) if folder else None
        if found is None:
            raise DataError(f"node {fingerprint[:12]}", "not finished", "a finished node", "siftloom run")
        return found

    # streams ------------------------------------------------------------------------------------------------

    def chains(self, manifest: Manifest) -> dict[str, tuple[Manifest, ...]]:
        """Base fingerprint -> manifests with a row phase from that base to this node, in order."""
        if manifest["new_base"]:
            return {manifest["fingerprint"]: ()}
        found: dict[str, tuple[Manifest, ...]] = {}
        for parent in manifest["inputs"].get(manifest["stream"], ()):
            for base, chain in self.chains(self.by_fingerprint(parent)).items():
                found[base] = max(found.get(base, ()), chain, key=len)
        if manifest["row_phase"]:
            found = {base: (*chain, manifest) for base, chain in found.items()}
        return found

    def stream(self, manifest: Manifest) -> Stream:
        chains = self.chains(manifest)
        bases = [self.by_fingerprint(base) for base in chains]
        return Stream(
            shards=tuple(shard for base in bases for shard in self._shards(base)),
            chains={base[:12]: tuple(self._link(m) for m in chain) for base, chain in chains.items()},
            base_columns={base["fingerprint"][:12]: base["base_columns"] for base in bases},
        )

    def _place(self, manifest: Manifest) -> Place:
        return Place(_Named(manifest["kind"]), manifest["fingerprint"])

    def _link(self, manifest: Manifest) -> Link:
        return Link(self._place(manifest), manifest["row_phase"], manifest["adds"], manifest["changes_text"])

    def _shards(self, base: Manifest) -> tuple[BaseShard, ...]:
        return base_shards(self._place(base), base, self._sources)

    # rows ---------------------------------------------------------------------------------------------------

    def alive(self, manifest: Manifest, columns: Sequence[str], only: str | None = None) -> Iterator[tuple]:
        stream = self.stream(manifest)
        shards = None if only is None else [base.shard for base in stream.shards if base.shard.name == only]
        return alive_rows(self.store, stream, columns, shards)

    def find(self, base: Manifest, column: str, value: str) -> tuple[BaseShard, int] | None:
        """Where a value stands in a column of a base, first match."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for shard in self._shards(base):
            for start, _, table in ShardView(self.store, shard, ()).batches([column]):
                at = pc.index(table[column].cast(pa.string()), value).as_py()
                if at >= 0:
                    return shard, start + at
        return None

    def base_row(self, shard: BaseShard, row: int) -> dict[str, Any]:
        """Columns of a base's own file, the text left out."""
        base = self.by_fingerprint(shard.shard.base)
        columns = [name for name in base["base_columns"] if name != "text"]
        return self._row(ShardView(self.store, shard, ()), columns, row)

    def text_of(self, manifest: Manifest, shard: BaseShard, row: int) -> str:
        """A row's text as the node sees it, alive or not."""
        view = ShardView(self.store, shard, self.stream(manifest).chain(shard.shard))
        return self._row(view, ["text"], row)["text"]

    def _row(self, view: ShardView, columns: Sequence[str], row: int) -> dict[str, Any]:
        import numpy as np

        for start, _, table in view.batches(columns, np.array([row])):
            if start <= row < start + len(table):
                return table.slice(row - start, 1).to_pylist()[0]
        raise DataError(view.base.shard.name, f"no row {row}", f"less than {view.base.shard.rows}")

    def row_state(self, manifest: Manifest, shard: BaseShard, row: int) -> dict[str, Any]:
        """What one node says of one row."""
        extra = ["removed_value", "removed_threshold"] if manifest["reasons"] else []
        view = ShardView(self.store, shard, ())
        found = (
            view.read_side_car(self._link(manifest), ["state", *manifest["adds"], *extra]).slice(row, 1).to_pylist()[0]
        )
        state = found.pop("state")
        value, limit = found.pop("removed_value", None), found.pop("removed_threshold", None)
        if state is None:
            return {"state": "gone", "columns": {}}
        told: dict[str, Any] = {"state": "kept" if state == 0 else "removed", "columns": found}
        if state:
            told |= {"reason": manifest["reasons"][state - 1], "value": value, "threshold": limit}
        return told

    def removed(self, manifests: Sequence[Manifest], label: Callable[[str], str]) -> pa.Table:
        """Every row that these nodes removed."""
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = pa.schema(
            [("id", pa.string()), ("node", pa.string()), ("reason", pa.string()), ("value", pa.float64()),
             ("threshold", pa.float64()), ("duplicate_of", pa.string())]
        )  # fmt: skip
        tables = [schema.empty_table()]
        for manifest in manifests:
            if not manifest["reasons"]:
                continue
            link, reasons = self._link(manifest), pa.array(manifest["reasons"], pa.string())
            copies = [
                name for name, kind in manifest["adds"].items() if name.endswith("duplicate_of") and kind == "string"
            ][:1]
            for shard in self.stream(manifest).shards:
                view = ShardView(self.store, shard, ())
                side = view.read_side_car(link, ["state", "removed_value", "removed_threshold", *copies])
                gone = pc.greater(pc.fill_null(side["state"], 0), 0)
                if not pc.any(gone).as_py():
                    continue
                ids = pa.chunked_array([c for _, _, t in view.batches(["id"]) for c in t["id"].chunks], pa.string())
                side = side.filter(gone)
                reason = reasons.take(pc.subtract(side["state"], 1).combine_chunks())
                missing = pa.nulls(len(side), pa.string())
                tables.append(
                    pa.table(
                        [ids.filter(gone), pa.array([label(manifest["fingerprint"])] * len(side), pa.string()), reason,
                         side["removed_value"], side["removed_threshold"], side[copies[0]] if copies else missing],
                        schema=schema,
                    )
                )  # fmt: skip
        return pa.concat_tables(tables)
