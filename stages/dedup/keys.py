"""The phase `keys`: the documents of one shard become a key file and records."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context, Result, contiguous
from stages.dedup.key_files import KeyFile, range_count
from stages.dedup.method import Method
from stages.dedup.record_files import DOCUMENT, RecordFile, fixed_width, put, with_ids

if TYPE_CHECKING:
    import pyarrow as pa

NAMES_BYTES = 20_000  # bytes of source names that one receipt may list; further sources share one entry
OTHER = "(other sources)"


def start(ctx: Context) -> KeyWriter:
    """Begin one shard."""
    return KeyWriter(ctx)


def whole(ctx: Context) -> int:
    """Return the number of key ranges, which hangs on the number of rows of all shards."""
    node: Method = ctx.node  # type: ignore[assignment]
    return range_count(sum(shard.rows for shard in ctx.shards("docs")), node.keys_per_document())


class KeyWriter:
    """The `ShardWriter` of the phase: hashes the alive documents of one shard."""

    def __init__(self, ctx: Context) -> None:
        node: Method = ctx.node  # type: ignore[assignment]
        self.ctx, self.hash, self.count = ctx, node.hasher(), 0
        self.file = KeyFile(whole(ctx))
        self.documents: list[np.ndarray] = []
        self.ids: list[pa.Array] = []
        self.sources = _Sources()
        self.places = node.places()
        self._open = ExitStack()
        if self.places:
            path = self._open.enter_context(ctx.create("-signatures.npy"))
            self.signatures = RecordFile(path, np.dtype("<u4"), (self.places,))

    def add(self, table: pa.Table) -> None:
        """Hash one batch and hold its keys and records."""
        import pyarrow as pa
        import pyarrow.compute as pc

        hashes = self.hash(table)
        self.count += len(table)
        keyed = slice(None) if hashes.keyed.all() else np.flatnonzero(hashes.keyed)  # no copy where all have keys
        rows = table["_row"].to_numpy()[keyed]
        self.file.add(hashes.keys[keyed], rows)
        documents = np.zeros(len(rows), DOCUMENT)
        documents["row"] = rows
        if "text" in table.column_names:
            documents["bytes"] = pc.fill_null(pc.binary_length(table["text"]), 0).to_numpy()[keyed]
        source = table["source"] if "source" in table.column_names else pa.chunked_array([pa.nulls(len(table))])
        documents["source"] = self.sources.codes(source)[keyed]
        documents["exact"] = hashes.exact[keyed]
        self.documents.append(documents)
        if self.places:
            self.signatures.append(hashes.signature[keyed])
        ids = contiguous(table["id"]).cast(pa.string())
        self.ids.append(ids if isinstance(keyed, slice) else ids.take(pa.array(keyed)))

    def finish(self) -> Result:
        """Write the files of the shard. Its result counts the documents and names their sources."""
        import pyarrow as pa

        if self.places:
            self.signatures.close()
        self._open.close()
        documents = np.concatenate([np.zeros(0, DOCUMENT), *self.documents])
        ids = pa.concat_arrays(self.ids) if self.ids else pa.array([], pa.string())
        put(self.ctx, "-documents.npy", with_ids(documents, fixed_width(ids)))
        with self.ctx.create(".parquet") as path:
            keys = self.file.write(path)
        keyed = len(documents)
        return Result(
            {"rows": self.count, "keyed": keyed, "unkeyed": self.count - keyed},
            {"keys": keys, "sources": self.sources.names, "documents": self.sources.counts},
        )


class _Sources:
    """Numbers for source names in order of appearance. Null is 0; names past the budget share the number of `OTHER`."""

    def __init__(self) -> None:
        self.names = ["", OTHER]
        self.counts = [0, 0]
        self._codes: dict[str | None, int] = {None: 0}
        self._budget = NAMES_BYTES

    def codes(self, column: pa.ChunkedArray) -> np.ndarray:
        """Return uint16[n]: the number of each document's source."""
        import pyarrow as pa

        coded = contiguous(column).cast(pa.string()).dictionary_encode()
        code = np.array([*map(self._code, coded.dictionary.to_pylist()), 0], np.uint16)
        found = code[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        for i, count in enumerate(np.bincount(found, minlength=len(self.counts))):
            self.counts[i] += int(count)
        return found

    def _code(self, name: str | None) -> int:
        if name in self._codes or name is None:
            return self._codes[name]
        self._budget -= len(name.encode()) + 16
        if self._budget < 0:
            return 1
        self._codes[name] = len(self.names)
        self.names.append(name)
        self.counts.append(0)
        return self._codes[name]
