"""From frames to units: the nearest centre in round 0, the likeliest output of a small network in later rounds.

A finished model is one file of tensors for each round, `round-00/all.safetensors` and on. Its network is run in numpy
and fp64, one sound at a time, so units hang on no thread and no batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.generate.vectors import assign
from stages.speech.ctc import merged
from stages.speech.frames import LogMel

if TYPE_CHECKING:
    import numpy as np

CENTRES, MEAN, SPREAD = "centres", "mean", "spread"
LAYERS = 3  # of the network: two hidden ones


@dataclass(frozen=True)
class UnitEncoder:
    """`tensors` are those of a round: centres, or the mean and the spread of frames and the layers behind them."""

    frames: LogMel
    tensors: Mapping[str, np.ndarray]

    @classmethod
    def load(cls, frames: LogMel, path: Path) -> UnitEncoder:
        """The encoder of a round's file."""
        from safetensors.numpy import load_file

        return cls(frames, load_file(path))

    @property
    def blank(self) -> int | None:
        """The label that stands for no unit: behind all units; None where every frame is of one."""
        return None if CENTRES in self.tensors else len(self.tensors[f"bias_{LAYERS - 1}"]) - 1

    def labels(self, bands: np.ndarray) -> np.ndarray:
        """The label of every frame of a sound, int64, from its `LogMel.energies`."""
        import numpy as np

        frames = self.frames.with_context(bands)
        if CENTRES in self.tensors:
            return assign(frames, self.tensors[CENTRES])[0]
        values = (frames.astype(np.float64) - self.tensors[MEAN]) / self.tensors[SPREAD]
        for layer in range(LAYERS):
            weight = self.tensors[f"weight_{layer}"].astype(np.float64)
            values = np.einsum("fi,oi->fo", values, weight) + self.tensors[f"bias_{layer}"]
            values = np.maximum(values, 0) if layer + 1 < LAYERS else values
        return values.argmax(1)

    def units(self, bands: np.ndarray) -> np.ndarray:
        """The sequence of units of a sound."""
        return merged(self.labels(bands), self.blank)


def smoothed(labels: np.ndarray, frames: int) -> np.ndarray:
    """The commonest label among so many frames around each (an odd number); the lowest of several."""
    import numpy as np

    if frames == 1:
        return labels
    around = np.lib.stride_tricks.sliding_window_view(np.pad(labels, frames // 2, mode="edge"), frames)
    counts = np.zeros((len(labels), int(labels.max()) + 1), np.int64)
    for place in range(frames):
        np.add.at(counts, (np.arange(len(labels)), around[:, place]), 1)
    return counts.argmax(1)
