"""How documents are shingled, hashed and banded, as a value that a plan can ask: nothing here computes."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["word", "char", "auto"]


@dataclass(frozen=True)
class Scheme:
    """How documents are shingled, hashed and banded.

    unit   `word`: runs of word characters; `char`: every word character; `auto`: words, but characters of
           scripts written without spaces (ideographs, kana, Thai, Lao, Khmer) one by one
    ngram  units per shingle
    bands, rows  each band is a key over `rows` places of the signature
    seed   of the permutations
    permutations  places of a signature; the bands use the first bands x rows of them; None: just these
    """

    unit: Unit = "word"
    ngram: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1
    permutations: int | None = None

    @property
    def places(self) -> int:
        return self.permutations or self.bands * self.rows


DEFAULT = Scheme()
