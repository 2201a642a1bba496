"""Key files, a shard's part of the exchange: Parquet of (key uint64, row uint32), one row group per key range.

Ranges split the key space evenly. Their number depends on the number of rows of the whole corpus alone, so no worker
count changes a byte. `row` counts inside the shard. Inside a range the pairs are in order of (row, band).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import contiguous
from stages.dedup.record_files import damaged

if TYPE_CHECKING:
    import pyarrow as pa

RANGE_BYTES = 256 * 10**6  # of (key, dense row) pairs in the memory of one `edges` task; a small corpus is one range
RANGES = "siftloom.ranges"  # metadata of a key file: the number of keys in each range


def range_count(rows: int, keys_per_row: int) -> int:
    """Return the number of key ranges for a corpus of so many rows, removed ones included: never more than 2^32."""
    return max(1, -(-rows * keys_per_row * 16 // RANGE_BYTES))


def range_of(keys: np.ndarray, ranges: int) -> np.ndarray:
    """Return int64[n]: the range of each key, by the key's high half."""
    return ((keys >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)).astype(np.int64)


class KeyFile:
    """Collects the keys of one shard batch by batch, split by range, and writes them at the end."""

    def __init__(self, ranges: int) -> None:
        self.ranges = ranges
        self._parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(ranges)]

    def add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        """Take the keys uint64[n, k] of rows[n]."""
        pairs = np.repeat(rows.astype(np.uint32), keys.shape[1])
        keys = keys.ravel()
        if self.ranges == 1:
            self._parts[0].append((keys, pairs))
            return
        where = range_of(keys, self.ranges)
        # numpy sorts 16-bit numbers by radix, several times faster than wider ones
        order = np.argsort(where.astype(np.uint16) if self.ranges < 1 << 16 else where, kind="stable")
        keys, pairs = keys[order], pairs[order]
        stops = np.cumsum(np.bincount(where, minlength=self.ranges))
        first = 0
        for parts, stop in zip(self._parts, stops, strict=True):
            if stop > first:
                parts.append((keys[first:stop], pairs[first:stop]))
            first = stop

    def write(self, path: Path) -> int:
        """Write the file and return its number of keys."""
        return write_ranges(path, map(_joined, self._parts))


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if not parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    return np.concatenate([keys for keys, _ in parts]), np.concatenate([rows for _, rows in parts])


def write_ranges(path: Path, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """Write (keys, rows) of every range, one at a time, and return the number of keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts: list[int] = []
    writer = None
    for keys, rows in pairs:
        if writer is None:
            schema = pa.schema({"key": pa.uint64(), "row": pa.from_numpy_dtype(rows.dtype)})
            # Hashes are random: compression, dictionaries and statistics would only cost.
            writer = pq.ParquetWriter(path, schema, compression="NONE", use_dictionary=False, write_statistics=False)
        counts.append(len(keys))
        if len(keys):  # an empty range has no row group
            writer.write_table(pa.table({"key": keys, "row": rows}), row_group_size=len(keys))
    assert writer is not None, "a key file has at least one range"
    writer.add_key_value_metadata({RANGES: json.dumps(counts)})
    writer.close()
    return sum(counts)


def read_range(path: Path, index: int, ranges: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (keys uint64[m], rows[m] of the file's type) of one of `ranges`, into however many the file is split.

    An earlier corpus of another size has another number of ranges: the file's own ranges that overlap are read, and
    keys outside the wanted range are left out. Raises DataError for a file that is damaged, truncated or missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            counts = np.array(json.loads(file.metadata.metadata[RANGES.encode()]))
            own = len(counts)
            first, last = index * own // ranges, ((index + 1) * own - 1) // ranges
            group = np.cumsum(counts > 0) - 1
            groups = [int(group[i]) for i in range(first, last + 1) if counts[i]]
            table = file.read_row_groups(groups, use_threads=False)
    except FileNotFoundError:
        raise damaged(f"dedup key file {path}", "the file is missing") from None
    except (pa.ArrowException, OSError, KeyError, TypeError, IndexError, ValueError) as err:
        raise damaged(f"dedup key file {path}", f"it cannot be read ({type(err).__name__}: {err})") from err
    if table.num_rows != counts[first : last + 1].sum():
        raise damaged(f"dedup key file {path}", f"ranges {first} to {last} have {table.num_rows} keys")
    keys, rows = _numpy(table["key"]), _numpy(table["row"])
    if own == ranges:
        return keys, rows
    inside = range_of(keys, ranges) == index
    return keys[inside], rows[inside]


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return contiguous(column).to_numpy(zero_copy_only=False)
