"""Sounds as documents: a row for each file, which holds what is said and never the samples.

A later node opens the samples out of the file, by its digest. So a sound is stored once, where the user keeps it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Annotated

from annotated_types import Interval

from pipeline.bounds import Positive
from pipeline.contract import Context, Node, Result, Source, TaskPhase, runtime, shard_facts, sources
from pipeline.errors import DataError, SourceError
from stages.documents import BASE_COLUMNS, SOURCE, SOURCE_ID, document_id, id_prefix
from stages.read.demo import demo_sounds
from stages.read.shard_files import ShardFiles
from stages.speech.sound import length_of, require_library

MOST_RATE = 1_000_000  # samples per second; no microphone has more
SOUNDS, TRANSCRIPT, ALIGNMENT = (".wav", ".flac"), ".txt", ".phn"
SOUND, SECONDS, RATE, PHONES = "sound", "seconds", "rate", "phones"
OWN = {SOUND: "string", SECONDS: "float64", RATE: "int32", PHONES: "string"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio(Node):
    """Documents from sounds. `text` is the transcript beside the file (the same name, .txt), else the file's name.

    paths    files, folders, globs, `demo://voices`: WAV and FLAC, and what lies beside them
    exclude  ends of paths, `*` and `?` among them, that `paths` name and that are not read
    rate     samples per second of every file
    shard_files  sounds of a shard, which is what one worker takes at a time

    Adds `sound` (string: the SHA-256 of the file, by which later nodes open it), `seconds` (float64), `rate` (int32),
    `source_id` (the file's name without its ending) and `phones` (string: the `.phn` file beside it, in the form of
    TIMIT, a line for each phone with its first sample, the one behind its last, and its name; null where there is no
    such file).

    Errors: `SourceError` for a sound without samples, of more than 2**26, at another rate, or of a name that another
    sound has too; `SourceDamaged`, for one that is shorter than its head says too; `DataError` for a transcript that is
    not UTF-8.
    """

    paths: tuple[str, ...] | str = sources(schemes={"demo": demo_sounds})
    exclude: tuple[str, ...] = runtime(())  # the digests of those that are left are the identity
    rate: Annotated[int, Interval(ge=1, le=MOST_RATE)] = 16_000
    shard_files: Positive = 256

    new_base = "shards"

    def check(self) -> None:
        require_library("audio")

    def adds(self) -> dict[str, str]:
        return {SOURCE: "string", SOURCE_ID: "string", **OWN}

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        found = {name: PurePosixPath(name).suffix.lower() for name in names}
        known = (*SOUNDS, TRANSCRIPT, ALIGNMENT)
        if odd := next((name for name, ending in found.items() if ending not in known), None):
            raise SourceError(
                odd, "no sound and no transcript", f"{', '.join(known)}", "name it in `exclude` of `audio`"
            )
        sounds = Counter(_stem(name) for name, ending in found.items() if ending in SOUNDS)
        if not sounds:
            raise SourceError("audio.paths", "files, and no sound among them", f"files that end in {', '.join(SOUNDS)}")
        stem, number = sounds.most_common(1)[0]
        if number > 1:
            raise SourceError("audio.paths", f"two sounds of the name {stem}", "one, since a transcript has one name")
        return list(names)  # a transcript is found by its name, and a sound without one is called by it

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 64 * 1024 + 120 * rows

    def phases(self):
        return (TaskPhase(name="shards", keys=self._keys, run=self._lay_down),)

    def _keys(self, ctx: Context) -> Sequence[str]:
        return [f"{number:05d}" for number in range(-(-len(_sounds(ctx.sources())) // self.shard_files))]

    def _lay_down(self, ctx: Context, key: str) -> Result:
        listed, first = ctx.sources(), int(key) * self.shard_files
        beside = {source.name: source for source in listed}
        sounds = _sounds(listed)
        copies = _copies(sounds)
        counts = {"rows": 0, "transcripts": 0, "aligned": 0}
        mine = sounds[first : first + self.shard_files]
        with ShardFiles(ctx, key, {**BASE_COLUMNS, **OWN}, 2**40) as out:
            for source in mine:
                samples, rate = length_of(ctx, source)
                if rate != self.rate:
                    other = f", or set `rate: {rate}`" if rate <= MOST_RATE else ""
                    raise SourceError(
                        source.name, f"{rate:,} samples per second", f"{self.rate:,} (`rate` of `audio`)",
                        f"ffmpeg -i {PurePosixPath(source.name).name} -ar {self.rate} OUT.wav{other}",
                    )  # fmt: skip
                stem = _stem(source.name)
                said, phones = _text(ctx, beside.get(stem + TRANSCRIPT)), _text(ctx, beside.get(stem + ALIGNMENT))
                text = said or PurePosixPath(stem).name
                row = (text, None, stem, source.digest, samples / rate, rate, phones)
                out.add(document_id(source.digest, 0, copies[source.index]), row, len(text.encode()))
                counts["rows"] += 1
                counts["transcripts"] += said is not None
                counts["aligned"] += phones is not None
        digests = tuple(sorted({source.digest for source in mine}))
        return Result(counts=counts, facts=shard_facts([replace(shard, files=digests) for shard in out.shards]))


def _sounds(listed: Sequence[Source]) -> list[Source]:
    return [source for source in listed if PurePosixPath(source.name).suffix.lower() in SOUNDS]


def _copies(sounds: Sequence[Source]) -> Mapping[int, int]:
    """Place in the listing -> how many sounds before it have ids that begin alike."""
    seen: dict[str, int] = {}
    found = {}
    for source in sounds:
        prefix = id_prefix(source.digest)
        found[source.index] = seen[prefix] = seen.get(prefix, -1) + 1
    return found


def _stem(name: str) -> str:
    return name[: len(name) - len(PurePosixPath(name).suffix)]


def _text(ctx: Context, source: Source | None) -> str | None:
    """The text of a file, None where there is no file or nothing but white space in it."""
    if source is None:
        return None
    with ctx.open_source(source) as stream:
        content = stream.read()
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(source.name, f"bytes that are not UTF-8 ({error.reason})", "a text in UTF-8") from None
    if "\0" in text:
        raise DataError(source.name, "a NUL character", "a text in UTF-8")
    return text or None
