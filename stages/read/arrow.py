"""Arrow and Feather files, and the `.arrow` files of a saved Hugging Face dataset (which are Arrow streams)."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import SourceError
from stages.read.batches import records
from stages.read.given import Given, Row

MAGIC = b"ARROW1"


def rows(given: Given) -> Iterator[Row]:
    import pyarrow as pa

    begun = given.stream.read(len(MAGIC)) == MAGIC
    given.stream.seek(0)
    try:
        if begun:
            with pa.ipc.open_file(given.stream) as file:
                yield from records(file.get_batch(i) for i in range(file.num_record_batches))
        else:
            pipe = given.pipe()
            with pa.ipc.open_stream(pipe) as stream:
                yield from records(stream)
            pipe.drain()
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(
            given.source.name, f"Arrow data that cannot be read ({error})", "a whole Arrow file or stream"
        ) from error
