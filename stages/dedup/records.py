"""What is kept of every document beside its keys, in arrays of fixed width: read for members of clusters only.

    <shard>-documents.npy   row uint32 inside the shard, source uint16, bytes uint64: one record per document with keys
    <shard>-sketches.npy    exact uint64[2], signature uint32[places]; `MinHash(hashvalues=record["signature"],
                            scheme="affine32", seed=...)` is datasketch's own object
    <shard>-ids.npy         the id, as bytes of the width of the longest

The files are mapped into memory, so a member costs the pages that its record lies on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENT = np.dtype([("row", "<u4"), ("source", "<u2"), ("bytes", "<u8")])


def sketch_type(places: int) -> np.dtype:
    return np.dtype([("exact", "<u8", (2,)), ("signature", "<u4", (places,))])


class RecordFile:
    """An `.npy` file that grows by arrays of one dtype; the header, whose length does not change, is written last."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.dtype, self.count = dtype, 0
        self._file = open(path, "wb")
        self._header()

    def append(self, records: np.ndarray) -> None:
        records.tofile(self._file)
        self.count += len(records)

    def close(self) -> None:
        size = self._file.tell()
        self._file.seek(0)
        self._header()
        assert self._file.tell() + self.count * self.dtype.itemsize == size
        self._file.close()

    def _header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        shape = {"descr": descr, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, shape)


def fixed_width(ids: pa.Array) -> np.ndarray:
    """bytes[n] of the width of the longest id, padded with NUL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(ids):
        return np.zeros(0, "S1")
    width = max(pc.max(pc.binary_length(ids)).as_py(), 1)
    padded = pc.ascii_rpad(ids.cast(pa.large_string()), width=width, padding="\0")
    body = padded.buffers()[2]
    return np.frombuffer(body, f"S{width}", len(ids), padded.offset * width).copy()
