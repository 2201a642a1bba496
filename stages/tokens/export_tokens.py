"""Packed documents in the formats of other trainers.

    megatron   `<name>.bin` and `<name>.idx`, the indexed dataset of Megatron-LM and NeMo: one sequence a document
    datatrove  `<name>.ds` with `.ds.index` and `.ds.metadata`, which nanotron reads
    parquet    one row a document: `base`, `shard`, `row`, `source`, `input_ids`
    webdataset  `<name>.tar`, one sample a document: `<shard>-<row>.ids.npy`, which the library decodes to an array

A document is put together again from its pieces, in the order of the base, without the `<|endoftext|>` that begins it
in packed rows and with the one that ends it, as those trainers expect. Each shard is one set of files, in the store
and, with `to`, in a folder or an object store (`stages.publish`), beside the `tokenizer.json` of the ids.
Ids are uint16 where the vocabulary allows; else Megatron gets int32, which is what it knows, and datatrove uint32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.contract import ONE, Address, Context, Law, Node, Result, TaskPhase, one, target
from pipeline.errors import RecipeError
from stages.publish import check_target, is_overwritten, publish
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX
from stages.wants import PackedRows

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = {
    "megatron": (".bin", ".idx"),
    "datatrove": (".ds", ".ds.index", ".ds.metadata"),
    "parquet": (".parquet",),
    "webdataset": (".tar",),
}
MEGATRON_MAGIC, MEGATRON_VERSION = b"MMIDIDX\x00\x00", 1
MEGATRON_CODES = {"uint16": 8, "int32": 4}


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportTokens(Node):
    """Write the documents of a pack node for another trainer.

    rows    a pack node without `max_rows`: a draw of rows would cut documents in two
    format  `megatron`, `datatrove`, `parquet` or `webdataset`
    to      a folder, or an `s3://` or `gs://` URI, that gets the files too; null = they stay in the store only

    Law: documents packed = documents exported. Of tokens: exported = text tokens + one a document.
    """

    rows: PackedRows
    format: Literal["megatron", "datatrove", "parquet", "webdataset"] = "megatron"
    to: str | None = target()

    gives = "files"
    made = ("tokens", "documents")

    def check(self) -> None:
        if (most := getattr(self.rows, "max_rows", None)) is not None:
            raise RecipeError("export_tokens.rows", f"max_rows: {most}", "a pack node of all its rows")
        if getattr(self.rows, "samples", False):
            found = "rows of samples, of which no format of these says what is learned"
            raise RecipeError("export_tokens.rows", found, "rows of `pack`", "pack the documents for it")
        check_target("export_tokens.to", self.to)

    def phases(self):
        law = Law("documents", "documents", ("exported",))
        files = TaskPhase(name="files", keys=_shards, run=self._export, law=law, fields=("format",))
        copy = TaskPhase(name="target", keys=one, run=self._copy, place="driver")
        return (files,) if self.to is None else (files, copy)

    def _export(self, ctx: Context, key: str) -> Result:
        packed = ctx.result("pack", key, of="rows")
        length = self.rows.length  # pyright: ignore[reportAttributeAccessIssue]
        ids, spans = (ctx.path("pack", key, suffix, of="rows") for suffix in (BIN_SUFFIX, ROWS_SUFFIX))
        documents = WholeDocuments.read(ids, spans, length, packed.facts["dtype"])
        writers = {"megatron": _megatron, "datatrove": _datatrove, "parquet": _parquet, "webdataset": _webdataset}
        writers[self.format](ctx, documents)
        counts = {
            "documents": packed.counts["packed"],
            "exported": len(documents.lengths),
            "tokens": int(documents.lengths.sum()),
            "text_tokens": packed.counts["text_tokens"],
        }
        assert counts["tokens"] == counts["text_tokens"] + counts["exported"], "tokens were lost in the export"
        return Result(counts=counts)

    def _copy(self, ctx: Context, key: str) -> Result:
        assert self.to is not None
        copies = {
            f"tokens-{i:05d}{ext}": ctx.path("files", shard, ext)
            for i, shard in enumerate(ctx.keys("files"))
            for ext in FORMATS[self.format]
        }
        copies["tokenizer.json"] = ctx.path("meta", ONE[0], "/tokenizer.json", of="rows")
        results = [ctx.result("files", shard).counts for shard in ctx.keys("files")]
        facts: dict[str, Any] = {name: sum(r[name] for r in results) for name in ("documents", "tokens")}
        manifest = publish(ctx, "export_tokens.to", self.to, copies, {}, {"node": ctx.fingerprint(), **facts})
        with ctx.create(".json") as path:
            path.write_bytes(manifest)
        return Result(counts={"files": len(copies)})

    def overwritten(self, ctx: Context) -> str | None:
        return "target" if self.to is not None and is_overwritten(ctx, self.to) else None

    def figures(self, ctx: Context):
        results = [ctx.result("files", shard).counts for shard in ctx.keys("files")]
        rows = [[name, sum(r[name] for r in results)] for name in ("documents", "tokens")]
        rows += [["format", self.format], *([["in", Address(self.to).short()]] if self.to else [])]
        table = {"kind": "table", "title": "Exported tokens", "section": "tokens"}
        yield table | {"columns": ["", "value"], "rows": rows}


def _shards(ctx: Context) -> list[str]:
    """The shards that hold a document."""
    return [key for key in ctx.keys("pack", of="rows") if ctx.result("pack", key, of="rows").counts["packed"]]


@dataclass(frozen=True)
class WholeDocuments:
    """The documents of one shard, whole again, in the order of the base.

    pieces   ids of every piece, one document's after another's
    lengths  tokens of each document, int64
    """

    pieces: list[np.ndarray]
    lengths: np.ndarray
    rows: np.ndarray
    sources: pa.Array
    base: str
    shard: str
    dtype: np.dtype

    @classmethod
    def read(cls, ids: Path, spans: Path, length: int, dtype: str) -> WholeDocuments:
        """From the two files of a shard of packed rows."""
        import pyarrow.parquet as pq

        columns = ["doc_row", "doc_start", "doc_offset", "doc_tokens", "doc_source"]
        table = pq.read_table(spans, columns=columns).combine_chunks()
        lists = {name: table[name].combine_chunks() for name in columns}
        flat = {name: lists[name].flatten() for name in columns}
        document, start, offset, tokens = (flat[name].to_numpy() for name in columns[:4])
        packed_row = np.repeat(np.arange(table.num_rows), np.diff(lists["doc_row"].offsets.to_numpy()))
        rows = np.memmap(ids, np.dtype(dtype).newbyteorder("<"), "r").reshape(-1, length + 1)
        order = np.lexsort((offset, document))
        begins = offset[order] == 0
        pieces = [
            rows[row, at + first : at + count]  # the first piece without the token that begins a document
            for row, at, first, count in zip(
                packed_row[order], start[order], begins.astype(int), tokens[order], strict=True
            )
        ]
        numbers, where = np.unique(document[order], return_index=True)
        sizes = np.add.reduceat(tokens[order].astype(np.int64), where) - 1
        names = table.schema.metadata
        return cls(
            pieces, sizes, numbers, flat["doc_source"].take(order[where]),
            names[b"base"].decode(), names[b"shard"].decode(), rows.dtype,
        )  # fmt: skip

    def write(self, path: Path, dtype: str) -> None:
        """Every id, one document after another, little-endian."""
        with open(path, "wb") as file:
            for piece in self.pieces:
                piece.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tofile(file)

    def ids(self) -> Iterator[np.ndarray]:
        """Ids of each document, with the token that ends it."""
        whole = np.concatenate(self.pieces)
        yield from np.split(whole, self.lengths.cumsum()[:-1])


def _megatron(ctx: Context, documents: WholeDocuments) -> None:
    """Layout of `megatron.core.datasets.indexed_dataset` (version 1): lengths of the sequences int32, where each begins
    [bytes] int64, and the sequences at which documents begin int64, with the end as last entry.
    """
    dtype = "uint16" if documents.dtype.itemsize == 2 else "int32"
    count = len(documents.lengths)
    with ctx.create(".bin") as path:
        documents.write(path, dtype)
    begins = np.concatenate([[0], documents.lengths.cumsum()[:-1]]) * np.dtype(dtype).itemsize
    with ctx.create(".idx") as path, open(path, "wb") as file:
        file.write(MEGATRON_MAGIC + struct.pack("<QBQQ", MEGATRON_VERSION, MEGATRON_CODES[dtype], count, count + 1))
        file.write(documents.lengths.astype("<i4").tobytes())
        file.write(begins.astype("<i8").tobytes())
        file.write(np.arange(count + 1, dtype="<i8").tobytes())


def _datatrove(ctx: Context, documents: WholeDocuments) -> None:
    """Layout of `datatrove.pipeline.tokens`: flat ids, and where each document ends [tokens], uint64."""
    size = documents.dtype.itemsize
    with ctx.create(".ds") as path:
        documents.write(path, f"uint{8 * size}")
    with ctx.create(".ds.index") as path:
        path.write_bytes(documents.lengths.cumsum().astype("<u8").tobytes())
    with ctx.create(".ds.metadata") as path:
        tokens = int(documents.lengths.sum())
        path.write_text(f"tokenizer.json|{size}\n{tokens}\n{tokens}")


def _parquet(ctx: Context, documents: WholeDocuments) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(documents.lengths)
    kind = pa.uint16() if documents.dtype.itemsize == 2 else pa.uint32()
    table = pa.table(
        {
            "base": pa.repeat(documents.base, count),
            "shard": pa.repeat(documents.shard, count),
            "row": pa.array(documents.rows, pa.int64()),
            "source": documents.sources,
            "input_ids": pa.array(list(documents.ids()), pa.list_(kind)),
        }
    )
    with ctx.create(".parquet") as path:
        pq.write_table(table, path, compression="zstd", row_group_size=10_000)


def _webdataset(ctx: Context, documents: WholeDocuments) -> None:
    """A tar file whose headers hold no time and no owner, so that equal documents give equal bytes."""
    import io
    import tarfile

    kind = f"<u{documents.dtype.itemsize}"
    with ctx.create(".tar") as path, tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, ids in zip(documents.rows.tolist(), documents.ids(), strict=True):
            array = io.BytesIO()
            np.save(array, ids.astype(kind, copy=False))
            member = tarfile.TarInfo(f"{documents.shard}-{row:09d}.ids.npy")
            member.size = array.tell()
            array.seek(0)
            tar.addfile(member, array)
