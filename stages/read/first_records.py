"""The first records of a file as `read` would read them, for those who only look at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

from pipeline.contract import Address, Source
from stages.read.batches import records
from stages.read.given import Given
from stages.read.parquet import open_parquet
from stages.read.readers import reader
from stages.read.record_to_row import Reject


def first_records(
    stream: BinaryIO, name: str, size: int, form: str, most: int, encoding: str | None = None
) -> list[Mapping[str, Any] | Reject]:
    """Return the first records of a file of a format, or why they are none, at most so many.

    Raises SourceError for a file that is damaged there.
    """
    source = Source(0, name, Address(name), size, "")
    return [record for _, record in islice(_rows(stream, source, form, most, encoding), most)]


def _rows(
    stream: BinaryIO, source: Source, form: str, most: int, encoding: str | None
) -> Iterator[tuple[int, Mapping[str, Any] | Reject]]:
    if form == "parquet":
        yield from records(open_parquet(stream, source).iter_batches(most))
        return
    yield from reader(form)(Given(source, stream, None, encoding))
