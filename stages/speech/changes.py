"""Changes of a sound that leave what is said: slower or faster, higher or lower, in a room, in noise.

Which change a sound meets, and how strong it is, is a function of (seed, round, view, id) alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.fields import Typed

if TYPE_CHECKING:
    import numpy as np

BLOCK_MS = 40  # of sound that `stretched` moves as a whole: a few periods of the lowest voice
Span = tuple[float, float]
LIMITS = {"stretch": (0.01, 100.0), "reverb": (0.001, 60.0), "noise": (-100.0, 100.0)}


@dataclass(frozen=True, kw_only=True)
class OneOf(metaclass=Typed):
    """One of the changes that are named, drawn for each sound; null leaves a change out.

    stretch  how much longer, from and to; the pitch stays
    pitch    semitones up or down, at most; the length stays
    reverb   seconds until an echo that decays has lost 60 dB, from and to
    noise    dB that the sound is above the noise, from and to; the noise is coloured and swells
    """

    stretch: Span | None = (0.8, 1.2)
    pitch: float | None = 4.0
    reverb: Span | None = (0.2, 0.8)
    noise: Span | None = (5.0, 15.0)

    def __post_init__(self) -> None:
        if not any(value is not None for value in (self.stretch, self.pitch, self.reverb, self.noise)):
            raise ValueError("no change at all: name one of stretch, pitch, reverb, noise")
        for name, (low, high) in LIMITS.items():
            span = getattr(self, name)
            if span is not None and not low <= span[0] <= span[1] <= high:
                raise ValueError(f"{name}: found {list(span)}, expected [from, to] between {low:g} and {high:g}")
        if self.pitch is not None and not 0 < self.pitch <= 24:
            raise ValueError(f"pitch: found {self.pitch}, expected semitones, at most 24")

    def of(self, samples: np.ndarray, rate: int, key: str) -> np.ndarray:
        """The changed sound, float64. `key` names the draw."""
        import numpy as np

        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        draw = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
        ways: list[Callable[[], np.ndarray]] = []
        if (stretch := self.stretch) is not None:
            ways.append(lambda: stretched(samples, draw.uniform(*stretch), rate))
        if (pitch := self.pitch) is not None:
            ways.append(lambda: shifted(samples, draw.uniform(-pitch, pitch), rate))
        if (reverb := self.reverb) is not None:
            ways.append(lambda: in_a_room(samples, rate, draw.uniform(*reverb), draw))
        if (noise := self.noise) is not None:
            ways.append(lambda: in_noise(samples, rate, draw.uniform(*noise), draw))
        return ways[int(draw.integers(len(ways)))]()


def stretched(samples: np.ndarray, factor: float, rate: int) -> np.ndarray:
    """A sound of `factor` times the length and the same pitch, by blocks that overlap by half: each begins where it
    goes on best from the one before (WSOLA, Verhelst and Roelands 1993).
    """
    import numpy as np

    hop = max(1, round(BLOCK_MS / 2000 * rate))
    block, reach, length = 2 * hop, hop // 2, max(1, round(len(samples) * factor))
    padded = np.pad(np.asarray(samples, np.float64), (block, 2 * block))
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(block) / hop)
    out = np.zeros(length + 2 * block)
    place = hop  # of the block in `padded`; the first one is half in the silence before the sound
    for start in range(0, length + hop, hop):
        out[start : start + block] += window * padded[place : place + block]
        wanted = padded[place + hop : place + hop + block]
        middle = min(round((start + hop) / factor) + hop, len(padded) - block)
        low = max(0, middle - reach)
        near = np.lib.stride_tricks.sliding_window_view(padded[low : middle + reach + block], block)
        like = np.einsum("nb,b->n", near, wanted[:block]) if len(wanted) == block else np.zeros(len(near))
        like /= np.sqrt(np.einsum("nb,nb->n", near, near)) + 1e-9
        place = low + int(like.argmax()) if like.max() > 0 else middle
    return out[hop : hop + length]


def resampled(samples: np.ndarray, length: int) -> np.ndarray:
    """The same curve in `length` samples, through its Fourier transform."""
    import numpy as np

    spectrum = np.fft.rfft(samples)
    kept = np.zeros(length // 2 + 1, np.complex128)
    both = min(len(kept), len(spectrum))
    kept[:both] = spectrum[:both]
    return np.fft.irfft(kept, length) * (length / len(samples))


def shifted(samples: np.ndarray, semitones: float, rate: int) -> np.ndarray:
    """A sound of the same length whose frequencies are so many semitones higher, its formants too."""
    return resampled(stretched(samples, 2 ** (semitones / 12), rate), len(samples))


def in_a_room(samples: np.ndarray, rate: int, seconds: float, draw: np.random.Generator) -> np.ndarray:
    """The sound and an echo of white noise that loses 60 dB in so many seconds, half as strong as the sound."""
    import numpy as np

    tail = draw.standard_normal(max(2, round(rate * seconds))) * 10 ** (
        -3 * np.linspace(0, 1, max(2, round(rate * seconds)))
    )
    tail *= np.sqrt(0.5 / (tail**2).sum())
    length = len(samples) + len(tail)
    echo = np.fft.irfft(np.fft.rfft(samples, length) * np.fft.rfft(tail, length), length)[: len(samples)]
    return samples + echo


def in_noise(samples: np.ndarray, rate: int, decibels: float, draw: np.random.Generator) -> np.ndarray:
    """The sound, so many dB above noise whose colour is drawn, and which swells and falls twice a second or so."""
    import numpy as np

    spectrum = np.fft.rfft(draw.standard_normal(len(samples)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** draw.uniform(0, 1)
    noise = np.fft.irfft(spectrum, len(samples)) if len(samples) > 1 else np.zeros(1)
    at = np.linspace(0, len(samples) / rate, len(samples))
    noise = noise * (1 + 0.8 * np.sin(2 * np.pi * (draw.uniform(1, 3) * at + draw.uniform(0, 1))))
    loud, quiet = np.sqrt((np.asarray(samples) ** 2).mean()), np.sqrt((noise**2).mean())
    return samples + noise * (loud / max(quiet, 1e-12)) * 10 ** (-decibels / 20)
