"""The files of other trainers: a set for each shard of documents, and the index of all of them that two readers want.

Each writer gives what the index says of its files, by the names of that format.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context
from pipeline.errors import DataError

if TYPE_CHECKING:
    from stages.tokens.whole_documents import WholeDocuments

INDEX = "index.json"
MEGATRON_MAGIC, MEGATRON_VERSION = b"MMIDIDX\x00\x00", 1
MEGATRON_CODES = {"uint16": 8, "int32": 4}
# what `streaming` says of a shard of its own; a column `ids` of arrays whose shape each sample names
MDS: dict[str, Any] = {
    "column_names": ["ids"], "column_sizes": [None], "compression": None, "format": "mds", "hashes": [],
    "size_limit": None, "version": 2,
}  # fmt: skip
LITDATA_CODES = {"uint16": 20, "int32": 15}  # of torch's types, in its own table
LITDATA: dict[str, Any] = {
    "chunk_bytes": None, "chunk_size": None, "compression": None, "encryption": None, "item_loader": "TokensLoader",
    "data_spec": '[1, {"type": null, "context": null, "children_spec": []}]',
}  # fmt: skip


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


def _mds(ctx: Context, documents: WholeDocuments) -> dict[str, Any]:
    """A shard of MosaicML's `streaming`: how many samples, where each begins, the columns, and the samples."""
    kind = f"uint{8 * documents.dtype.itemsize}"
    about = {"column_encodings": [f"ndarray:{kind}"], **MDS}
    columns = json.dumps(about, sort_keys=True).encode()
    samples = [_mds_array(ids.astype(f"<u{documents.dtype.itemsize}", copy=False)) for ids in documents.ids()]
    size = _indexed(ctx, ".mds", columns, samples)
    return {**about, "samples": len(samples), "raw_data": {"bytes": size, "hashes": {}}, "zip_data": None}


def _mds_array(ids: np.ndarray) -> bytes:
    """A sample of one array: its size [bytes]; a byte that says one axis and how wide its length is; length and ids."""
    width = 0 if len(ids) < 1 << 8 else 1 if len(ids) < 1 << 16 else 2
    array = bytes([1 << 2 | width]) + len(ids).to_bytes(1 << width, "little") + ids.tobytes()
    return struct.pack("<I", len(array)) + array


def _litdata(ctx: Context, documents: WholeDocuments) -> dict[str, Any]:
    """A chunk of LitData for its `TokensLoader`, which reads the ids of all documents as one text."""
    kind = "uint16" if documents.dtype.itemsize == 2 else "int32"
    items = [ids.astype(np.dtype(kind).newbyteorder("<"), copy=False).tobytes() for ids in documents.ids()]
    size = _indexed(ctx, ".bin", b"", items)
    format_ = {"data_format": [f"no_header_tensor:{LITDATA_CODES[kind]}"]}
    return {"chunk_bytes": size, "chunk_size": len(items), "dim": int(documents.lengths.sum()), "config": format_}


def _indexed(ctx: Context, suffix: str, columns: bytes, items: Sequence[bytes]) -> int:
    """Write how many items there are and where each begins and the last one ends [bytes, uint32], then `columns` and
    the items; return the size of the file."""
    ends = np.array([0, *map(len, items)], np.int64).cumsum() + 4 * (len(items) + 2) + len(columns)
    if ends[-1] >= 1 << 32:
        found = f"{ends[-1]:,} bytes of ids in one shard"
        raise DataError("export_tokens.format", found, "less than 4 GiB", "set `shard_bytes` of `read` lower")
    with ctx.create(suffix) as path, open(path, "wb") as file:
        file.write(struct.pack("<I", len(items)) + ends.astype("<u4").tobytes() + columns)
        file.writelines(items)
    return int(ends[-1])


def index_of(form: str, shards: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`index.json` of a format that has one: name in the target -> text. `shards`: file -> what its writer gave."""
    if form == "mds":
        found = {
            "version": 2,
            "shards": [
                {**about, "raw_data": {**about["raw_data"], "basename": name}} for name, about in shards.items()
            ],
        }
    elif form == "litdata":
        chunks = [
            {"filename": name, **{key: about[key] for key in ("chunk_bytes", "chunk_size", "dim")}}
            for name, about in shards.items()
        ]
        config = next(iter(shards.values()))["config"] if shards else {}
        found = {"chunks": chunks, "config": {**LITDATA, **config}}
    else:
        return {}
    return {INDEX: json.dumps(found, sort_keys=True)}


WRITERS: Mapping[str, Callable[[Context, WholeDocuments], dict[str, Any] | None]] = {
    "megatron": _megatron,
    "datatrove": _datatrove,
    "parquet": _parquet,
    "webdataset": _webdataset,
    "mds": _mds,
    "litdata": _litdata,
}
