"""Sentences of the demo corpus, spoken by espeak-ng in several voices, and the true phone at every sample.

    python -m recipes.worlds.spoken FOLDER [SENTENCES]

espeak-ng is a tool under the GPL-3 (`apt-get install espeak-ng`): it is called through its shared library, and nothing
of it, and no sound that it made, is a part of this project.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.errors import MissingExtra

VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us+f2", "en-gb+f3", "en-us+m3")
SENTENCE = re.compile(r"[A-Z][a-z]+(?: [a-z]+,?){4,9}\.")
SENTENCES = 240
SYNCHRONOUS, PHONEME_EVENTS, UTF8, PHONEME, ENDED = 2, 1, 1, 7, 0


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Name),
    )  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Utterance:
    """What a voice said: int16 samples, and (first sample, phone) of its phones in order."""

    samples: Any
    phones: tuple[tuple[int, str], ...]

    @property
    def alignment(self) -> str:
        """The text of its `.phn` file."""
        stops = [first for first, _ in self.phones[1:]] + [len(self.samples)]
        lines = zip(self.phones, stops, strict=True)
        return "".join(f"{first} {stop} {phone}\n" for (first, phone), stop in lines if stop > first)


class Espeak:
    """The library, opened once in a process."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library = ctypes.CDLL(name)
        except OSError:
            raise MissingExtra(
                "recipes.worlds.spoken", "no espeak-ng", "its library", "apt-get install espeak-ng"
            ) from None
        self.rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)
        self._samples: list[int] = []
        self._phones: list[tuple[int, str]] = []
        self._callback = _Callback(self._take)  # held here: the library keeps its address
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str) -> Utterance:
        """Speak a sentence."""
        import numpy as np

        self._samples, self._phones = [], []
        self._library.espeak_SetVoiceByName(voice.encode())
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, UTF8, None, None)
        return Utterance(np.array(self._samples, np.int16), tuple(self._phones))

    def _take(self, samples: Any, number: int, events: Any) -> int:
        if number > 0:
            self._samples += samples[:number]
        place = 0
        while events and events[place].type != ENDED:
            if events[place].type == PHONEME:
                name = events[place].id.string.decode("utf-8", "replace").strip("_:;', ") or "_"
                self._phones.append((events[place].sample, name))
            place += 1
        return 0


def sentences() -> Iterator[str]:
    """Plain English sentences of the novels in the demo corpus, in the order of its files."""
    seen = set()
    for path in sorted((Path(str(resources.files("recipes"))) / "corpus").glob("corpus-*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():  # of bytes: texts hold other breaks of lines
            row = json.loads(line)
            if row.get("source") == "austen":
                yield from (s for s in SENTENCE.findall(row["text"]) if not (s in seen or seen.add(s)))


def write(folder: Path, number: int = SENTENCES) -> int:
    """Speak so many sentences, the voices in turn; return the samples per second."""
    import soundfile

    espeak = Espeak()
    folder.mkdir(parents=True, exist_ok=True)
    for place, text in zip(range(number), sentences(), strict=False):
        voice = VOICES[place % len(VOICES)]
        said = espeak.say(text, voice)
        path = folder / f"{place:04d}-{voice.replace('+', '-')}.flac"
        soundfile.write(path, said.samples, espeak.rate, subtype="PCM_16")
        path.with_suffix(".phn").write_text(said.alignment, encoding="utf-8")
        path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    return espeak.rate


if __name__ == "__main__":
    print(f"rate: {write(Path(sys.argv[1]), *map(int, sys.argv[2:3]))}")
