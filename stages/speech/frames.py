"""Log-mel frames: what the encoder hears of a sound.

Everything of one sound is computed of that sound alone, in fp64 and without a matrix product of a library whose sums
hang on threads, so the bits of a frame hang on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.fields import Typed

if TYPE_CHECKING:
    import numpy as np

LIMITS_OF_FRAMES = {"bands": (1, 512), "window_ms": (0.1, 1000), "hop_ms": (0.1, 1000), "context": (0, 100)}
AT_ONCE = 4096  # frames whose spectra are held: an hour of sound has 360,000
FLOOR = 1e-8  # of a band's energy, about what 16 bits cannot tell from silence


@dataclass(frozen=True, kw_only=True)
class LogMel(metaclass=Typed):
    """Frames of logarithms of energy in bands of equal width on the mel scale, less the mean of each band over the
    sound, with the frames beside them.

    bands      on the mel scale
    window_ms  of sound behind a frame
    hop_ms     from a frame to the next
    context    frames on each side that stand beside a frame
    """

    bands: int = 40
    window_ms: float = 25.0
    hop_ms: float = 10.0
    context: int = 3

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS_OF_FRAMES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected a number from {low:g} to {high:g}")

    @property
    def width(self) -> int:
        """Numbers of a frame."""
        return self.bands * (2 * self.context + 1)

    def hop(self, rate: int) -> int:
        """Samples from a frame to the next."""
        return max(1, round(rate * self.hop_ms / 1000))

    def frames(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """float32 [frames, width]; see `energies`."""
        return self.with_context(self.energies(samples, rate))

    def energies(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """float32 [frames, bands]: as many frames as whole hops, and at least one; each is of the middle of its hop."""
        import numpy as np

        hop, window = self.hop(rate), max(2, round(rate * self.window_ms / 1000))
        number = max(1, len(samples) // hop)
        before = (window - hop) // 2
        padded = np.zeros(before + number * hop + window, np.float64)
        if before >= 0:
            padded[before : before + len(samples)] = samples[: len(padded) - before]
        else:
            padded[: len(samples) + before] = samples[-before:]
        cut = np.lib.stride_tricks.sliding_window_view(padded, window)[: number * hop : hop]
        filters, bands = mel_filters(self.bands, window // 2 + 1, rate), np.zeros((number, self.bands))
        for start in range(0, number, AT_ONCE):
            power = np.abs(np.fft.rfft(cut[start : start + AT_ONCE] * np.hanning(window), axis=1)) ** 2 / window
            bands[start : start + AT_ONCE] = np.log(np.einsum("fk,bk->fb", power, filters) + FLOOR)
        return (bands - bands.mean(0)).astype(np.float32)

    def with_context(self, bands: np.ndarray) -> np.ndarray:
        """float32 [frames, width] of the bands of one sound."""
        import numpy as np

        spread = np.pad(bands, ((self.context, self.context), (0, 0)), mode="edge")
        return np.concatenate([spread[at : at + len(bands)] for at in range(2 * self.context + 1)], axis=1)


def mel_filters(bands: int, bins: int, rate: int) -> np.ndarray:
    """float64 [bands, bins]: triangles whose corners are equally far apart on the mel scale (O'Shaughnessy 1987)."""
    import numpy as np

    highest = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    places = np.linspace(0, rate / 2, bins)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0, np.minimum((places - low) / (middle - low), (high - places) / (high - middle)))
