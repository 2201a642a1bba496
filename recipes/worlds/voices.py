"""Voices that speak a language made by rule: sixteen words of eleven phones, four voices, and the true phone at every
sample.

Vowels and nasals are sums of harmonics under formants, the others noise in a band. Each voice has a pitch of its own,
and formants that are a little higher or lower.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RATE, SOUNDS = 8000, 64
VOICED = {  # formants in Hz
    "a": (850, 1300, 2500), "e": (500, 1900, 2500), "i": (300, 2300, 3000), "o": (500, 900, 2400),
    "u": (320, 750, 2300), "y": (320, 1700, 2200), "m": (250, 1100, 2100), "n": (250, 1600, 2500),
}  # fmt: skip
NOISES = {"s": (3200, 500), "f": (1800, 1400), "h": (1000, 500)}  # middle and width in Hz
CONSONANTS, VOWELS, SILENCE = "sfhmn", "aeiouy", "_"
VOICES = ((110, 1.0), (130, 1.05), (180, 1.12), (210, 1.18))  # pitch in Hz, and a factor of the formants


@dataclass(frozen=True)
class Spoken:
    """A sound: int16 samples (of 8 bits, to be small), and (phone, samples) of all its phones in order."""

    name: str
    samples: np.ndarray
    phones: tuple[tuple[str, int], ...]

    @property
    def alignment(self) -> str:
        """The text of its `.phn` file."""
        lines, first = [], 0
        for phone, length in self.phones:
            lines.append(f"{first} {first + length} {phone}\n")
            first += length
        return "".join(lines)


def sounds(number: int = SOUNDS) -> Iterator[Spoken]:
    """So many sounds of two or three words, the voices in turn."""
    import numpy as np

    draw = random.Random("words")
    words = [
        "".join(draw.choice(CONSONANTS) + draw.choice(VOWELS) for _ in range(draw.choice([1, 2, 2, 3])))
        for _ in range(16)
    ]
    for place in range(number):
        draw, noise = random.Random(f"sound {place}"), np.random.Generator(np.random.PCG64(place))
        said = SILENCE.join(["", *draw.choices(words, k=draw.choice([2, 3])), ""])
        phones = tuple((phone, int(RATE * draw.uniform(0.06, 0.14))) for phone in said)
        voice = VOICES[place % len(VOICES)]
        samples = np.concatenate([_phone(phone, length, *voice, noise) for phone, length in phones])
        yield Spoken(f"{place:02d}", np.round(samples * 127).clip(-128, 127).astype(np.int16) * 256, phones)


def write(folder: Path) -> None:
    """The sounds as FLAC, and the phones beside them."""
    import soundfile

    folder.mkdir(exist_ok=True)
    for sound in sounds():
        soundfile.write(folder / f"{sound.name}.flac", sound.samples, RATE, subtype="PCM_S8")
        (folder / f"{sound.name}.phn").write_text(sound.alignment)


def _phone(name: str, length: int, pitch: float, factor: float, draw: np.random.Generator) -> np.ndarray:
    import numpy as np

    if name == SILENCE:
        return np.zeros(length)
    if name in NOISES:
        middle, width = NOISES[name]
        spectrum = np.fft.rfft(draw.standard_normal(length))
        spectrum *= np.exp(-(((np.fft.rfftfreq(length, 1 / RATE) - middle * factor) / width) ** 2))
        sound, loud = np.fft.irfft(spectrum, length), 0.08
    else:
        sway = 1 + 0.03 * np.sin(4 * np.pi * np.arange(length) / RATE + draw.uniform(0, 2 * np.pi))
        phase = 2 * np.pi * np.cumsum(pitch * sway) / RATE
        sound, loud = np.zeros(length), 0.25 if name in VOWELS else 0.11
        for harmonic in range(1, int(RATE / 2 / pitch)):
            peaks = zip((1, 0.6, 0.3), (60, 100, 140), VOICED[name], strict=True)
            size = sum(
                peak / (1 + ((harmonic * pitch - formant * factor) / wide) ** 2) for peak, wide, formant in peaks
            )
            sound += size / harmonic**0.3 * np.sin(harmonic * phase)
    sound *= loud / np.sqrt((sound**2).mean())
    edge = np.minimum(1, np.arange(1, length + 1) / 60)
    return sound * edge * edge[::-1]
