"""Arrow and Feather files, and the `.arrow` files of a saved Hugging Face dataset (which are Arrow streams).

An Arrow file is a stream between its mark and a footer, so both are read as they come: watched, and packed or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pipeline.errors import SourceDamaged
from stages.read.batches import records
from stages.read.given import Given, Row
from stages.read.streams import Pipe

MAGIC = b"ARROW1"
HEAD = len(MAGIC) + 2  # bytes before the stream in a file


def rows(given: Given) -> Iterator[Row]:
    import pyarrow as pa

    chunks, head = given.chunks(), b""
    while len(head) < HEAD and (chunk := next(chunks, b"")):
        head += chunk
    is_file = head.startswith(MAGIC)
    pipe = Pipe(chain(filter(None, [head[HEAD:] if is_file else head]), chunks))
    try:
        with pa.ipc.open_stream(pipe) as stream:
            yield from records(stream)
        if not pipe.drain().endswith(MAGIC) and is_file:
            raise pa.ArrowInvalid("no footer at the end, so the file is cut off")
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceDamaged(
            given.source.name, f"Arrow data that cannot be read ({error})", "a whole Arrow file or stream",
            byte=given.byte,
        ) from error  # fmt: skip
