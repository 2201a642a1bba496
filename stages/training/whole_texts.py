"""Texts to be pooled: nothing is predicted, and a text is seen by itself, as `embed` shows it.

The tokens that begin and end a piece are no part of a text: no place of it sees them, and they are not pooled. A crop
(Lee et al. 2019; Izacard et al. 2022, arXiv 2112.09118) leaves a run of tokens of each piece, so that two pieces of one
text are two views of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from stages.training.collate import Collator, Key, Rows, batch_of

if TYPE_CHECKING:
    import numpy as np

    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class WholeTexts(Collator):
    """The pieces of samples as whole texts, for a loss of their vectors.

    attention  what a place of a text sees: the whole text (`bidirectional`), or what stands before it (`causal`)
    crop       share of the tokens of each piece that is left, a run whose place is drawn anew in every step; 1 = all
    """

    attention: Literal["bidirectional", "causal"] = "bidirectional"
    crop: float = 1.0

    learns_places: ClassVar[bool] = True
    predicts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.attention not in ("bidirectional", "causal"):
            raise ValueError(f"attention: found {self.attention!r}, expected bidirectional or causal")
        if not 0.0 < self.crop <= 1.0:
            raise ValueError(f"crop: found {self.crop!r}, expected a share above 0, at most 1")

    @property
    def both_sides(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.attention == "bidirectional"

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        from models.losses import IGNORE

        documents = np.where(rows.plain, rows.documents, 0)
        if self.crop < 1.0:
            for row, number in zip(documents, rows.numbers.tolist(), strict=True):
                self._cut(row, key.chance(number, "crop"))
        seen = documents[:, :-1]
        pooled = seen > 0 if rows.learned is None else (seen > 0) & rows.learned[:, :-1]
        labels = np.where(pooled, rows.ids[:, :-1], IGNORE)
        return batch_of(rows, rows.ids[:, :-1], labels, seen, attention=self.attention)

    def _cut(self, documents: np.ndarray, chance: np.random.Generator) -> None:
        """Leave a run of each piece of a row."""
        import numpy as np

        for piece in range(1, int(documents.max(initial=0)) + 1):
            places = np.flatnonzero(documents == piece)
            left = math.ceil(self.crop * len(places))
            first = int(chance.integers(len(places) - left + 1))
            documents[places[:first]] = 0
            documents[places[first + left :]] = 0
