"""The input of a reader: the bytes of a file, watched, unpacked and in UTF-8, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pipeline.contract import Source
from stages.read import encodings
from stages.read.framing import Frame
from stages.read.ranges import Range
from stages.read.record_to_row import Reject
from stages.read.streams import Pipe, Watched, codec_of, decompress

Row = tuple[int, Mapping[str, Any] | Reject]  # row number in the file, and its fields or why it has none


@dataclass
class Given:
    """`digest`: SHA-256 to hold the file against, None = trust it. `encoding`: None, `detect`, or a codec's name.

    `found` is filled by readers: notes for the receipt (which encoding a file was in).
    """

    source: Source
    stream: BinaryIO
    digest: str | None
    encoding: str | None = None
    frame: Frame = "file"
    piece: Range | None = None
    found: dict[str, str] = field(default_factory=dict)
    _watched: Watched | None = None

    @property
    def byte(self) -> int | None:
        """How far the file has been read."""
        return None if self._watched is None else self._watched.position

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes, unpacked."""
        if self.piece is not None:
            yield from Watched(self.stream, self.source, self.piece.digest, self.piece.start, self.piece.stop)
            return
        codec = codec_of(self.stream, self.source)
        self._watched = Watched(self.stream, self.source, self.digest)
        yield from decompress(self._watched, codec)

    def text(self) -> Iterator[bytes]:
        """The file's bytes, unpacked and in UTF-8, without a byte order mark."""
        chunks = self.chunks()
        if self.piece is not None and self.piece.start:
            yield self.piece.head.encode("latin-1")
            yield from chunks
            return
        name, chunks = encodings.settle(chunks, self.encoding)
        if name != "utf-8":
            self.found["encoding"] = name
        yield from chunks

    def pipe(self) -> Pipe:
        """The file's bytes, unpacked, for libraries that pull."""
        return Pipe(self.chunks())
