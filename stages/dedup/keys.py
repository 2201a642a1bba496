"""Key files, what a shard gives to the exchange: Parquet of (key uint64, row uint32), a row group per range.

Ranges cut the key space evenly; how many there are depends on the number of rows of the whole corpus only,
so that no worker count changes a byte. `row` counts inside the shard. Inside a range the pairs are in order
of (row, band).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

RANGE_BYTES = 256 * 10**6  # of (key, dense row) pairs in memory in one edge task
LEAST = 4


def range_count(rows: int, keys_per_row: int) -> int:
    """Number of key ranges for a corpus of so many rows."""
    return max(LEAST, -(-rows * keys_per_row * 16 // RANGE_BYTES))


def range_of(keys: np.ndarray, ranges: int) -> np.ndarray:
    """int64: the range of each key, by its high half."""
    return ((keys >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)).astype(np.int64)


class KeyFile:
    """Collects the keys of one shard batch by batch and writes them at the end."""

    def __init__(self, ranges: int) -> None:
        self.ranges = ranges
        self._keys: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        """keys uint64[n, k], rows [n]."""
        self._keys.append(keys.ravel())
        self._rows.append(np.repeat(rows.astype(np.uint32), keys.shape[1]))

    def write(self, path: Path) -> int:
        """Write the file; returns the number of keys."""
        keys = np.concatenate([*self._keys, np.zeros(0, np.uint64)])
        rows = np.concatenate([*self._rows, np.zeros(0, np.uint32)])
        where = range_of(keys, self.ranges)
        order = np.argsort(where.astype(np.uint16) if self.ranges < 1 << 16 else where, kind="stable")
        counts = np.bincount(where, minlength=self.ranges)
        write_ranges(path, keys[order], rows[order], counts)
        return len(keys)


def write_ranges(path: Path, keys: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> None:
    """Write pairs that are sorted by range; counts[ranges] says how many each range has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"key": keys, "row": rows})
    schema = table.schema.with_metadata({"siftloom.ranges": json.dumps([int(c) for c in counts])})
    stops = np.cumsum(counts)
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, schema, **plain) as writer:
        for first, stop in zip(stops - counts, stops, strict=True):
            if stop > first:  # an empty range has no row group
                part = table.slice(first, stop - first).replace_schema_metadata(schema.metadata)
                writer.write_table(part, row_group_size=int(stop - first))


def read_range(path: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """(keys uint64[m], rows[m] of the file's type) of one range; DataError if damaged or cut short."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            counts = json.loads(file.schema_arrow.metadata[b"siftloom.ranges"])
            if counts[index] == 0:
                return np.zeros(0, np.uint64), np.zeros(0, np.uint32)
            table = file.read_row_group(sum(1 for c in counts[:index] if c))
    except FileNotFoundError:
        raise _damaged(path, "the file is missing") from None
    except (pa.ArrowException, OSError, KeyError, TypeError, IndexError, ValueError) as err:
        raise _damaged(path, f"it cannot be read ({type(err).__name__}: {err})") from err
    if table.num_rows != counts[index]:
        raise _damaged(path, f"range {index} has {table.num_rows} of {counts[index]} keys")
    return _numpy(table["key"]), _numpy(table["row"])


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def _damaged(path: Path, found: str) -> DataError:
    return DataError(
        f"dedup key file {path}",
        found,
        "the file that its receipt names",
        "siftloom verify RUN, then run again: it recomputes damaged files",
    )
