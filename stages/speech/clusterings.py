"""How well units tell phones apart: purity, normalised mutual information, entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Phone:
    """A phone, and the sample behind its last one."""

    stop: int
    name: str


def parsed(place: str, text: str) -> list[Phone]:
    """The phones of a `.phn` file, in the form of TIMIT: first sample, the sample behind the last one, name."""
    found: list[Phone] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        good = len(fields) == 3 and fields[0].isdecimal() and fields[1].isdecimal()
        if not good or not (found[-1].stop if found else 0) <= int(fields[0]) <= int(fields[1]):
            expected = "`FIRST STOP PHONE`: samples that ascend from line to line"
            raise DataError(f"phones of {place}, line {number}", repr(line[:80]), expected)
        found.append(Phone(int(fields[1]), fields[2]))
    return found


def paired(labels: np.ndarray, phones: Sequence[Phone], samples: float) -> list[tuple[int, str]]:
    """Each unit of a sound, and the phone at the middle of its run of frames. `labels` are those of all frames, -1 for
    a blank; frames are as many equal parts of the sound. Units behind the last phone are left out.
    """
    import numpy as np

    if not len(labels) or not phones:
        return []
    ends = np.flatnonzero(np.append(labels[1:] != labels[:-1], True))
    starts = np.append(0, ends[:-1] + 1)
    units = labels[ends]
    places = ((starts + ends + 1) / 2 / len(labels) * samples)[units >= 0]
    at = np.searchsorted([phone.stop for phone in phones], places, side="right")
    return [
        (int(unit), phones[phone].name)
        for unit, phone in zip(units[units >= 0].tolist(), at.tolist(), strict=True)
        if phone < len(phones)
    ]


@dataclass(frozen=True)
class Agreement:
    """Of units and phones that were seen together. The shares are 0 to 1, the entropies in bits.

    purity   share of the units whose phone is the commonest one of their kind
    nmi      mutual information by the mean of both entropies (Strehl and Ghosh 2002); 0 where either is constant
    entropy  of the units: 0 says that the encoder is constant
    phones   entropy of the phones
    """

    purity: float
    nmi: float
    entropy: float
    phones: float
    pairs: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, str]]) -> Agreement:
        """Of (unit, phone) pairs, at least one."""
        import numpy as np

        _, rows = np.unique([unit for unit, _ in pairs], return_inverse=True)
        _, columns = np.unique([phone for _, phone in pairs], return_inverse=True)
        counts = np.zeros((rows.max() + 1, columns.max() + 1))
        np.add.at(counts, (rows, columns), 1)
        both, units, phones = (_entropy(part) for part in (counts.ravel(), counts.sum(1), counts.sum(0)))
        nmi = 2 * (units + phones - both) / (units + phones) if units and phones else 0.0
        return cls(float(counts.max(1).sum() / counts.sum()), max(0.0, nmi), units, phones, len(pairs))


def _entropy(counts: np.ndarray) -> float:
    total = float(counts.sum())
    found = -sum(count / total * math.log2(count / total) for count in counts.tolist() if count)
    return found if found > 0 else 0.0
