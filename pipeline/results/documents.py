"""Look documents up in finished nodes: where one lies, what each node says of it, and which rows were removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError
from pipeline.results.binding import BaseShard
from pipeline.results.manifests import Manifest, Manifests, link_of
from pipeline.results.rows import ShardView, alive_rows

if TYPE_CHECKING:
    import pyarrow as pa


class Documents:
    """The rows of finished nodes."""

    def __init__(self, manifests: Manifests) -> None:
        self.manifests, self.store = manifests, manifests.store

    def alive(self, manifest: Manifest, columns: Sequence[str], only: str | None = None) -> Iterator[tuple]:
        """(shard, table of alive rows) per batch; `only` names the one shard that is wanted."""
        stream = self.manifests.stream(manifest)
        shards = None if only is None else [base.shard for base in stream.shards if base.shard.name == only]
        return alive_rows(self.store, stream, columns, shards)

    def find(self, base: Manifest, column: str, value: str) -> tuple[BaseShard, int] | None:
        """The first row of a base that has the value in a column, None where none has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for shard in self.manifests.stream(base).shards:
            for start, _, table in ShardView(self.store, shard, ()).batches([column]):
                at = pc.index(table[column].cast(pa.string()), value).as_py()
                if at >= 0:
                    return shard, start + at
        return None

    def base_row(self, shard: BaseShard, row: int) -> dict[str, Any]:
        """Columns of a base's own file, the text left out."""
        base = self.manifests.by_fingerprint(shard.shard.base)
        columns = [name for name in base["base_columns"] if name != "text"]
        return self._row(ShardView(self.store, shard, ()), columns, row)

    def text_of(self, manifest: Manifest, shard: BaseShard, row: int) -> str:
        """A row's text as the node sees it, alive or not."""
        view = ShardView(self.store, shard, self.manifests.stream(manifest).chain(shard.shard))
        return self._row(view, ["text"], row)["text"]

    def _row(self, view: ShardView, columns: Sequence[str], row: int) -> dict[str, Any]:
        import numpy as np

        for start, _, table in view.batches(columns, np.array([row])):
            if start <= row < start + len(table):
                return table.slice(row - start, 1).to_pylist()[0]
        raise DataError(view.base.shard.name, f"no row {row}", f"less than {view.base.shard.rows}")

    def row_state(self, manifest: Manifest, shard: BaseShard, row: int) -> dict[str, Any]:
        """What one node says of one row: its `state` (kept, removed, gone), columns, and the reason of a removal."""
        extra = ["removed_value", "removed_threshold"] if manifest["reasons"] else []
        side_car = ShardView(self.store, shard, ()).read_side_car(
            link_of(manifest), ["state", *manifest["adds"], *extra]
        )
        columns = side_car.slice(row, 1).to_pylist()[0]
        state = columns.pop("state")
        value, limit = columns.pop("removed_value", None), columns.pop("removed_threshold", None)
        if state is None:
            return {"state": "gone", "columns": {}}
        if state == 0:
            return {"state": "kept", "columns": columns}
        reason = manifest["reasons"][state - 1]
        return {"state": "removed", "columns": columns, "reason": reason, "value": value, "threshold": limit}

    def removed(self, manifests: Sequence[Manifest], label: Callable[[str], str]) -> pa.Table:
        """Every row that these nodes removed: id, node, reason, value, threshold, duplicate_of."""
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
            reasons = pa.array(manifest["reasons"], pa.string())
            original = manifest["original"]
            wanted = ["state", "removed_value", "removed_threshold", *([original] if original else [])]
            for shard in self.manifests.stream(manifest).shards:
                view = ShardView(self.store, shard, ())
                side = view.read_side_car(link_of(manifest), wanted)
                gone = pc.greater(pc.fill_null(side["state"], 0), 0)
                if not pc.any(gone).as_py():
                    continue
                ids = pa.chunked_array([c for _, _, t in view.batches(["id"]) for c in t["id"].chunks], pa.string())
                side = side.filter(gone)
                reason = reasons.take(pc.subtract(side["state"], 1).combine_chunks())
                nodes = pa.array([label(manifest["fingerprint"])] * len(side), pa.string())
                originals = side[original] if original else pa.nulls(len(side), pa.string())
                tables.append(
                    pa.table(
                        [ids.filter(gone), nodes, reason, side["removed_value"], side["removed_threshold"], originals],
                        schema=schema,
                    )
                )
        return pa.concat_tables(tables)
