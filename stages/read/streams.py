"""Bytes of source files: watched while they are read, decompressed, cut into lines.

What is read is hashed as it goes by and held against the digest that names the file, so a file that changes
under the reader is an error and never a mixture of two files. gzip goes through `isal` where it is installed,
zstd through Arrow, bzip2 and xz through Python's own modules.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from pipeline.contract import Source
from pipeline.errors import SourceChanged, SourceDamaged, SourceError

CHUNK = 1 << 20
# bzip2 begins with a letter for its block size, and a file of text may begin so too; the first block has a mark.
MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
}
CODECS = {
    ".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".tbz2": "bzip2", ".xz": "xz", ".txz": "xz",
}  # fmt: skip
PACKED_ENDINGS = tuple(CODECS)


def codec_of(stream: BinaryIO, source: Source) -> str | None:
    """How a file is packed, by its first bytes: a name may say something else, and is no part of the content.

    Raises `SourceError` for a file whose name promises what its bytes are not.
    """
    head = stream.read(10)
    stream.seek(0)
    codec = next((codec for codec, mark in MAGIC.items() if mark.match(head)), None)
    promised = CODECS.get(source.name[source.name.rfind(".") :].lower())
    if promised is not None and codec != promised and head.strip(b"\0"):
        expected, then = f"a {promised} file, as its name says", "fetch it again, or rename it after its content"
        if codec is None:
            found = f"damaged {promised} data: the first bytes are {head!r}"
            raise SourceDamaged(source.name, found, expected, f"{then}, or set `on_damaged: skip`", byte=0)
        raise SourceError(source.name, f"{codec} data", expected, then)
    return codec if promised is None else promised


class Watched:
    """The bytes [start, stop) of a source, chunk by chunk; raises `SourceChanged` at the end if they hash to
    something else.

    `digest` is the SHA-256 to find, None = trust the file. `position` is the offset of the next byte in the
    file.
    """

    def __init__(self, stream: BinaryIO, source: Source, digest: str | None, start: int = 0, stop: int | None = None):
        self.stream, self.source, self.digest = stream, source, digest
        self.position, self.stop = start, source.size if stop is None else stop
        self._hash = hashlib.sha256()
        if start:
            stream.seek(start)

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.stream.read(min(CHUNK, self.stop - self.position)):
            self._hash.update(chunk)
            self.position += len(chunk)
            yield chunk
        self._compare()

    def drain(self) -> None:
        """Read the rest, for its digest alone."""
        for _ in self:
            pass

    def _compare(self) -> None:
        if self.position < self.stop:
            found = f"the file ends at byte {self.position}, {self.stop} were listed"
        elif self.digest is not None and self._hash.hexdigest() != self.digest:
            found = f"other bytes than when it was digested ({self.source.digest[:12]})"
        else:
            return
        raise SourceChanged(
            self.source.name, found, "a file that does not change", "run again when it no longer changes"
        )


def decompress(raw: Watched, codec: str | None) -> Iterator[bytes]:
    """The plain bytes of a file. Raises `SourceDamaged` with the offset where a compressed file is damaged or
    cut off."""
    if codec is None:
        yield from raw
        return
    try:
        yield from {"gzip": _gunzip, "zstd": _unzstd, "bzip2": _unbzip2, "xz": _unxz}[codec](raw)
    except (OSError, EOFError, lzma.LZMAError, _zlib().error) as error:
        damaged_at = raw.position
        raw.drain()  # a file that is being rewritten looks damaged too; then this raises SourceChanged
        raise SourceDamaged(
            raw.source.name,
            f"damaged {codec} data at or before byte {damaged_at} of {raw.source.size} ({error})",
            f"a whole {codec} file",
            f"{codec} -t on the file, then fetch it again, or set `on_damaged: skip` to go on without it",
            damaged_at,
        ) from error


def _zlib() -> Any:
    """zlib, or the module of `isal` that stands in for it (6 to 19 % more documents a second, measured)."""
    try:
        from isal import isal_zlib as zlib  # pyright: ignore[reportMissingImports]
    except ImportError:
        import zlib
    return zlib


def _gunzip(raw: Iterable[bytes]) -> Iterator[bytes]:
    zlib = _zlib()
    member, begun, empty = zlib.decompressobj(wbits=31), False, True
    for chunk in raw:
        # gzip pads with zeros what must fill a block (tapes, some object stores)
        while chunk := chunk if begun else chunk.lstrip(b"\0"):
            begun, empty = True, False
            # bounded: a chunk may hold a thousand times its size
            if plain := member.decompress(chunk, CHUNK):
                yield plain
            chunk = member.unconsumed_tail
            if member.eof:
                chunk, member, begun = member.unused_data, zlib.decompressobj(wbits=31), False
    if begun or empty:
        raise EOFError("the stream is cut off" if begun else "no gzip member")


def _unzstd(raw: Iterable[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.input_stream(Pipe(raw), compression="zstd") as plain:
        while chunk := plain.read(CHUNK):
            yield chunk


def _unbzip2(raw: Iterable[bytes]) -> Iterator[bytes]:
    return _streams(raw, bz2.BZ2Decompressor)


def _unxz(raw: Iterable[bytes]) -> Iterator[bytes]:
    return _streams(raw, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ))


def _streams(raw: Iterable[bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    """The bytes of packed streams one behind the other, as parallel packers write them; zeros may stand between."""
    stream, begun, empty = new(), False, True
    for chunk in raw:
        while chunk := chunk if begun else chunk.lstrip(b"\0"):
            begun, empty = True, False
            while plain := stream.decompress(chunk, CHUNK):  # bounded, as for gzip
                yield plain
                chunk = b""
                if stream.eof:
                    break
            chunk = b""
            if stream.eof:
                chunk, stream, begun = stream.unused_data, new(), False
    if begun or empty:
        raise EOFError("the stream is cut off" if begun else "no packed stream")


class Pipe(io.RawIOBase):
    """A file object over an iterable of chunks, for libraries that pull."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks, self._rest, self._end = iter(chunks), b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self._rest = self._rest or self._next()
        part = self._rest[: len(buffer)]
        self._rest = self._rest[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def drain(self) -> bytes:
        """Read the rest, so that the digest of the whole is checked. Return the last 512 bytes."""
        while self._next():
            pass
        return self._end

    def _next(self) -> bytes:
        chunk = next(self._chunks, b"")
        self._end = (self._end + chunk[-512:])[-512:]
        return chunk


def lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes | None]:
    """Lines without their line feed, the last one with or without; None for a line of more than `longest`
    bytes."""
    parts: list[bytes] = []  # of the line that is open; joined once, so that a line of many chunks costs its length
    length = 0
    for chunk in chunks:
        head, *others = chunk.split(b"\n")
        length += len(head)
        if length <= longest:
            parts.append(head)
        else:
            parts.clear()
        if others:
            yield b"".join(parts) if length <= longest else None
            *whole, last = others
            yield from (line if len(line) <= longest else None for line in whole)
            parts, length = [last], len(last)
    if length:
        yield b"".join(parts) if length <= longest else None
