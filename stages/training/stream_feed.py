"""The micro-batches of one process from a stream (`stages.training.stream`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch

from pipeline.errors import DataError
from stages.training.collate import Rows
from stages.training.feed import Feed
from stages.training.stream_rows import StreamedRows
from stages.training.training import Training

if TYPE_CHECKING:
    import pyarrow as pa


class Batches(Protocol):
    """What a worker gets of one pass: `ray.data.DataIterator`."""

    def iter_batches(self, *, batch_size: int, batch_format: str, drop_last: bool) -> Iterable[pa.Table]: ...


@dataclass(frozen=True)
class Passes:
    """This worker's part of the pass that goes on, and of every later one."""

    first: Batches
    later: Batches

    def tables(self, rows: int) -> Iterator[tuple[int, pa.Table]]:
        """Tables of so many rows for ever, each with how many passes ended before it in this start of the run.

        Raises DataError for a pass that holds no table.
        """
        done, batches = 0, self.first
        while True:
            empty = True
            for table in batches.iter_batches(batch_size=rows, batch_format="pyarrow", drop_last=True):
                empty = False
                yield done, table
            if empty and done:
                raise DataError("pretrain.rows", f"fewer than {rows} rows for each worker", "rows for one step")
            done, batches = done + 1, self.later


class StreamFeed(Feed):
    """A feed whose rows come from a stream.

    state  passes that have ended, and the number below which every row of this pass was seen
    """

    def __init__(
        self,
        training: Training,
        process_rank: int,
        world_size: int,
        device: torch.device,
        passes: Passes,
        state: list[int] | None,
    ) -> None:
        super().__init__(training, process_rank, world_size, device)
        self.state = list(state or (0, 0))
        self._ended = self.state[0]
        self._tables = passes.tables(self.rows_of[process_rank])
        self._in_pass: dict[int, int] = {}  # step -> the pass of its rows

    def note(self, step: int, rows_m: torch.Tensor) -> None:
        # samples stand in the order of the processes, and a row may have several
        _, first = np.unique(rows_m.numpy(), return_index=True)
        numbers = rows_m.numpy()[np.sort(first)]
        parts = np.split(numbers, np.cumsum(self.rows_of)[:-1])
        self.state = [self._in_pass.pop(step), min(int(part.max()) for part in parts) + 1]

    def _rows(self, step: int, cut: bool) -> Iterator[Rows]:
        packed = cast("StreamedRows", self.training.sources[0].rows)
        done, table = next(self._tables)
        self._in_pass[step] = self._ended + done
        ids, documents = (
            table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1).astype(np.int64)
            for name in ("ids", "documents")
        )
        numbers, none = table["number"].to_numpy(), np.zeros(len(table))
        for at in range(0, len(table), self.rows_each):
            here = slice(at, at + self.rows_each)
            place, prior = none[here].astype(np.int64), none[here].astype(np.float32)
            special = (packed.end_id, packed.vocab_size, dict(packed.specials))
            yield Rows(ids[here], documents[here], numbers[here], place, prior, {}, cut, *special)


def open_feed(
    training: Training,
    process_rank: int,
    world_size: int,
    device: torch.device,
    passes: Passes | None,
    state: list[int] | None,
) -> Feed:
    """The feed of a process. Raises DataError for a stream outside Ray Train."""
    if training.node.feed is None:
        return Feed(training, process_rank, world_size, device)
    if passes is None:
        raise DataError("pretrain.feed", "a training outside Ray Train", "a group of Ray Train, whatever its size")
    return StreamFeed(training, process_rank, world_size, device, passes, state)
