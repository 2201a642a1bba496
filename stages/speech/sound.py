"""The samples of a sound, out of its file."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Source
from pipeline.errors import DataError, MissingExtra, SourceDamaged, SourceError

if TYPE_CHECKING:
    import numpy as np

LIBRARY, INSTALL = "soundfile", "pip install 'siftloom[speech]'"


def require_library(place: str) -> None:
    """Raise `MissingExtra` where the library is not installed."""
    if find_spec(LIBRARY) is None:
        raise MissingExtra(place, f"no library {LIBRARY}", "the extra speech", INSTALL)


def length_of(ctx: Context, source: Source) -> tuple[int, int]:
    """(samples of a channel, samples per second), by the head of a file. Raises `SourceError` for a file of none."""
    with ctx.open_source(source) as stream, _opened(stream, source) as file:
        if not file.frames:
            raise SourceError(
                source.name, "a sound without samples", "sounds that can be heard", "name it in `exclude` of `audio`"
            )
        return file.frames, file.samplerate


def samples_of(ctx: Context, digest: str, rate: int) -> np.ndarray:
    """The sound behind a row of `docs`, float64 [samples] from -1 to 1: the mean of its channels."""
    source = ctx.file(digest)
    with ctx.open_source(source) as stream, _opened(stream, source) as file:
        try:
            samples = file.read(dtype="float64", always_2d=True)
        except _library().LibsndfileError as error:
            raise _damaged(source, error) from None
    if len(samples) == 0 or file.samplerate != rate:
        found = f"{len(samples)} samples at {file.samplerate:,} Hz"
        raise DataError(source.name, found, f"samples at {rate:,} Hz, as when it was listed", "siftloom run once more")
    return samples.mean(1)


def _library() -> Any:
    import soundfile

    return soundfile


def _opened(stream: Any, source: Source) -> Any:
    try:
        return _library().SoundFile(stream)
    except _library().LibsndfileError as error:
        raise _damaged(source, error) from None


def _damaged(source: Source, error: Exception) -> SourceDamaged:
    then = "fetch it again, or name it in `exclude` of `audio`"
    found = f"no sound that can be read ({getattr(error, 'error_string', error)})"
    return SourceDamaged(source.name, found, "a whole WAV or FLAC file", then)
