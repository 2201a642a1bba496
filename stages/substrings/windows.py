"""The phase `windows`: 128 bits of every window of one shard whose anchor stands elsewhere too.

Where a window is repeated, so is the n-gram that represents it. So only windows of repeated anchors are hashed, and
most of a corpus is left out.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.dense import mark, records_of_shard
from stages.dedup.key_files import range_count, range_of
from stages.dedup.record_files import RecordFile, damaged, put, stored
from stages.substrings.repeats import REPEAT
from stages.substrings.units import Anchors, anchors, as_written, gram_of, window_keys, words_of

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = np.dtype([("key", "<u8", (2,)), ("row", "<u4"), ("at", "<u4")])
BLOCK = 1 << 20  # windows that are split by range together


def start(ctx: Context) -> WindowWriter:
    """Begin one shard."""
    return WindowWriter(ctx)


def ranges_of(ctx: Context) -> int:
    """Return the number of ranges of windows, which hangs on the number of repeated anchors."""
    node: Any = ctx.node
    repeats = sum(ctx.result("repeats", key).counts["repeats"] for key in ctx.keys("repeats"))
    width = node.length - gram_of(node.length) + 1
    return range_count(repeats * (width + 1) // 2, 2)


class WindowWriter:
    """The `ShardWriter` of the phase: blocks of WINDOW records (`.npy`), each in order of (range, row, place).

    `-bounds.npy` holds int64[blocks, ranges + 1]: where each range of each block begins and ends. A block has a fixed
    number of windows, so the files do not depend on how rows come in batches.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.ranges = ctx, ranges_of(ctx)
        base, found = records_of_shard(ctx, "repeats", REPEAT)
        self.base, self.marks = base, np.unique(mark(found["row"], found["key"]))
        self._open = ExitStack()
        self.file = RecordFile(self._open.enter_context(ctx.create(".npy")), WINDOW)
        self.bounds: list[np.ndarray] = [np.zeros((0, self.ranges + 1), np.int64)]
        self.waiting = np.zeros(0, WINDOW)

    def add(self, table: pa.Table) -> None:
        """Hash the windows of one batch."""
        node: Any = self.ctx.node
        text, rows = table["text"], table["_row"].to_numpy()
        words, stops = words_of(text, node.unit)
        found = anchors(words, stops, node.length)
        at = np.searchsorted(self.marks, marks := mark(rows[found.owner] + self.base, found.key))
        hit = at < len(self.marks)
        hit[hit] = self.marks[at[hit]] == marks[hit]
        if not hit.any():
            return
        # Neighbouring anchors of one document are one run of windows: its words are hashed once.
        places = np.flatnonzero(hit)
        new = np.ones(len(places), bool)
        new[1:] = (np.diff(places) > 1) | (np.diff(found.owner[places]) > 0)
        begins = places[new]
        windows = np.add.reduceat(found.windows[places], np.flatnonzero(new))
        runs = Anchors(found.key[begins], found.owner[begins], found.first[begins], windows)
        units = (words, words) if node.match == "words" else as_written(text, node.unit)
        keys = window_keys(*units, node.length, runs.first, runs.windows)
        starts = runs.first - np.concatenate([[0], stops])[runs.owner]
        records = np.empty(keys.shape[1], WINDOW)
        records["key"] = keys.T
        records["row"] = np.repeat(rows[runs.owner], windows)
        ends = np.cumsum(windows)
        records["at"] = np.arange(len(records)) + np.repeat(starts - (ends - windows), windows)
        self.waiting = np.concatenate([self.waiting, records])
        while len(self.waiting) >= BLOCK:
            self._write(self.waiting[:BLOCK])
            self.waiting = self.waiting[BLOCK:]

    def _write(self, records: np.ndarray) -> None:
        where = range_of(records["key"][:, 0], self.ranges)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(where, minlength=self.ranges))])
        self.bounds.append((bounds + self.file.count)[None])
        self.file.append(records[np.argsort(where, kind="stable")])

    def finish(self) -> Result:
        """Write the rest, and the bounds."""
        if len(self.waiting):
            self._write(self.waiting)
        self.file.close()
        self._open.close()
        put(self.ctx, "-bounds.npy", np.concatenate(self.bounds))
        return Result({"windows": self.file.count})


def read_windows(path: Path, bounds: Path, index: int) -> np.ndarray:
    """Return WINDOW[m] of one range, by (row, place). Raises DataError for files that do not belong together."""
    records, blocks = stored(path), stored(bounds)
    if len(blocks) and blocks[-1, -1] != len(records):
        raise damaged(f"windows {path}", f"{len(records)} of {blocks[-1, -1]} windows")
    parts = [records[low:high] for low, high in blocks[:, index : index + 2]]
    return np.concatenate([np.zeros(0, WINDOW), *parts])
