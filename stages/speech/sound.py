"""The samples of a sound, out of its file."""

from __future__ import annotations

import re
import struct
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Source
from pipeline.errors import DataError, MissingExtra, SourceDamaged, SourceError
from pipeline.finite import finite

if TYPE_CHECKING:
    import numpy as np

LONGEST = 2**26  # samples of a channel: 70 minutes at 16 kHz, and 512 MiB
LOUDEST = 2.0**31  # some write whole numbers of 32 bits as floats
AT_ONCE = 2**20  # samples that are decoded at once
HEAD = 36  # bytes of a WAV file up to its first chunk of data
SHORTER = re.compile(r"data : (\d+) \(should be (\d+)\)")  # libsndfile's log of a file that ends before its length
LIBRARY, INSTALL = "soundfile", "pip install 'siftloom[speech]'"


def require_library(place: str) -> None:
    """Raise `MissingExtra` where the library is not installed."""
    if find_spec(LIBRARY) is None:
        raise MissingExtra(place, f"no library {LIBRARY}", "the extra speech", INSTALL)


def length_of(ctx: Context, source: Source) -> tuple[int, int]:
    """(samples of a channel, samples per second), by the head of a file. Raises `SourceError` for a file of none, and
    of too many.
    """
    with ctx.open_source(source) as stream, _opened(stream, source) as file:
        if not 0 < file.frames <= LONGEST:
            found = f"a sound of {file.frames:,} samples" if file.frames else "a sound without samples"
            expected, then = f"1 to {LONGEST:,} samples", "cut it, or name it in `exclude` of `audio`"
            raise SourceError(source.name, found, expected, then)
        return file.frames, file.samplerate


def samples_of(ctx: Context, digest: str, rate: int) -> np.ndarray:
    """The sound behind a row of `docs`, float64 [samples] from -1 to 1: the mean of its channels. Raises `DataError`
    for a sample that is no number.
    """
    import numpy as np

    source, first = ctx.file(digest), 0
    with ctx.open_source(source) as stream, _opened(stream, source) as file:
        if not 0 < file.frames <= LONGEST or file.samplerate != rate:
            found, expected = f"{file.frames} samples at {file.samplerate:,} Hz", f"samples at {rate:,} Hz"
            raise DataError(source.name, found, f"{expected}, as when it was listed", "siftloom run once more")
        samples = np.zeros(file.frames)
        while first < len(samples):
            try:
                part = file.read(max(1, AT_ONCE // file.channels), dtype="float64", always_2d=True)
            except _library().LibsndfileError as error:
                raise _damaged(source, error) from None
            if not len(part):
                raise _damaged(source, f"{first:,} samples of the {len(samples):,} that its head promises")
            finite(part, source.name, lambda row, first=first: f"sample {first + row:,}", -LOUDEST, LOUDEST)
            samples[first : first + len(part)] = part.mean(1)
            first += len(part)
    return samples


def _library() -> Any:
    import soundfile

    return soundfile


def _opened(stream: Any, source: Source) -> Any:
    head = stream.read(HEAD)
    stream.seek(0)
    try:
        file = _library().SoundFile(stream)
    except _library().LibsndfileError as error:
        told = ""
        if head[:4] == b"RIFF" and head[12:16] == b"fmt " and len(head) == HEAD:
            channels, rate = struct.unpack("<HI", head[22:28])
            told = f", a head of {channels:,} channels at {rate:,} Hz"
        raise _damaged(source, f"{getattr(error, 'error_string', error)}{told}") from None
    # a program that writes into a pipe cannot know the length, and says 2**32 - 1
    if (lie := SHORTER.search(file.extra_info)) and int(lie[1]) < 2**32 - 1:
        file.close()
        raise _damaged(source, f"{int(lie[2]):,} bytes of the {int(lie[1]):,} that its head promises")
    return file


def _damaged(source: Source, what: object) -> SourceDamaged:
    then = "fetch it again, or name it in `exclude` of `audio`"
    found = f"no sound that can be read ({getattr(what, 'error_string', what)})"
    return SourceDamaged(source.name, found, "a whole WAV or FLAC file", then)
