"""The record of every document beside its keys, in arrays of fixed width that are read for cluster members only.

    <shard>-documents.npy   row uint32 inside the shard, source uint16, bytes uint64, exact uint64[2], id as
                            bytes of the width of the longest: one record per document that has keys, in order of row
    <shard>-signatures.npy  uint32[n, places]; a row is `hashvalues` of a datasketch MinHash (scheme `affine32`)

The files are mapped into memory, so a member costs the pages on which its records lie.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context
from pipeline.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENT = np.dtype([("row", "<u4"), ("source", "<u2"), ("bytes", "<u8"), ("exact", "<u8", (2,))])


class RecordFile:
    """An `.npy` file that grows batch by batch. Its header, of unchanging length, is written again at the end."""

    def __init__(self, path: Path, dtype: np.dtype, width: tuple[int, ...] = ()) -> None:
        self.dtype, self.width, self.count = np.dtype(dtype), width, 0
        self._file = open(path, "wb")
        self._header()

    def append(self, records: np.ndarray) -> None:
        """Write records[n, *width]."""
        assert records.dtype == self.dtype
        assert records.shape[1:] == self.width
        self._file.write(np.ascontiguousarray(records).data)  # `tofile` would not say that the disk is full
        self.count += len(records)

    def close(self) -> None:
        """Write the header with the number of records."""
        size = self._file.tell()
        self._file.seek(0)
        self._header()
        row = self.dtype.itemsize * int(np.prod(self.width, dtype=np.int64))
        assert self._file.tell() + self.count * row == size
        self._file.close()

    def _header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        shape = {"descr": descr, "fortran_order": False, "shape": (self.count, *self.width)}
        np.lib.format.write_array_header_1_0(self._file, shape)


def save(path: Path, array: np.ndarray) -> None:
    """Write an `.npy` file under just this name; `np.save` would add the ending."""
    file = RecordFile(path, array.dtype, array.shape[1:])
    file.append(array)
    file.close()


def put(ctx: Context, ext: str, array: np.ndarray) -> None:
    """Write an `.npy` file of the task."""
    with ctx.create(ext) as path:
        save(path, array)


def stored(path: Path) -> np.ndarray:
    """Return a read-only array mapped into memory. Raises DataError for a damaged or missing file."""
    try:
        return np.asarray(np.load(path, mmap_mode="r"))  # a slice of a plain array costs less than one of a `memmap`
    except (OSError, ValueError, EOFError) as err:
        raise damaged(f"dedup records {path}", f"they cannot be read ({type(err).__name__}: {err})") from err


def stored_table(path: Path) -> pa.Table:
    """Return the one batch of an Arrow file, mapped into memory. Raises DataError for a damaged or missing file."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as err:
        raise damaged(f"dedup records {path}", f"they cannot be read ({type(err).__name__}: {err})") from err


def damaged(place: str, found: str) -> DataError:
    """Return the error for a file that is not as it was written."""
    return DataError(
        place,
        found,
        "the file that its receipt names",
        "siftloom verify RUN, then run again: it recomputes damaged files",
    )


def with_ids(documents: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return records[n] of DOCUMENT[n] and ids, bytes[n], together."""
    records = np.empty(len(documents), np.dtype([*DOCUMENT.descr, ("id", ids.dtype)]))
    for name in DOCUMENT.names or ():
        records[name] = documents[name]
    records["id"] = ids
    return records


def fixed_width(ids: pa.Array) -> np.ndarray:
    """Return bytes[n] of the width of the longest id, padded with NUL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(ids):
        return np.zeros(0, "S1")
    width = max(pc.max(pc.binary_length(ids)).as_py(), 1)
    padded = pc.ascii_rpad(ids.cast(pa.large_string()), width=width, padding="\0")
    body = padded.buffers()[2]
    return np.frombuffer(body, f"S{width}", len(ids), padded.offset * width).copy()
