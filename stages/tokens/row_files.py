"""The files that describe packed rows, asked of a store: only what is asked for is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pipeline.contract import StoredFile

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Asked = TypeVar("Asked")
READERS = 16  # threads that wait for an object store


@contextmanager
def opened(file: StoredFile) -> Iterator[pq.ParquetFile]:
    """A Parquet file of the store."""
    import pyarrow.parquet as pq

    with file.stream() as stream, pq.ParquetFile(stream) as parquet:
        yield parquet


def each(files: Sequence[tuple[StoredFile, StoredFile, int]], ask: Callable[[pq.ParquetFile], Asked]) -> list[Asked]:
    """What is asked of the `.rows.parquet` of every shard."""

    def answer(entry: tuple[StoredFile, StoredFile, int]) -> Asked:
        with opened(entry[1]) as file:
            return ask(file)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(answer, files))
