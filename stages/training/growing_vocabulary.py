"""From the frequent tokens to all of them: CLIMB's vocabulary curriculum (Diehl Martinez et al. 2023, arXiv
2311.08886).

A token whose id lies outside the part of the vocabulary that the pace admits is shown, and asked for, as `<unk>`. The
ids of a byte-pair tokenizer are in the order of its merges, so a low id stands for a frequent piece. Special tokens are
never replaced, and at the end of the climb nothing is: the authors' combined map leaves some words unknown for ever.

Leaves out the maps by part of speech, and the objective that predicts one: they need a tagger beside every token, and
the paper finds no gain from them. A curriculum of objectives is the training's `schedule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.objectives.pacing import Pacing
from stages.training.collate import NEXT_TOKEN, Collator, Key, Rows

if TYPE_CHECKING:
    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GrowingVocabulary(Collator, Pacing):
    """Another collator's rows, with rare tokens unknown at first.

    inner    what makes the batch of the rows so changed
    unknown  special token that stands for the others; the tokenizer must reserve it (`specials`)
    begin    share of the vocabulary that the first steps show; 1 is `inner` alone, to the byte
    shape    of the climb from there to all of it (`models.objectives.pacing`)
    start    share of the run's steps at which the climb starts
    end      share of the run's steps at which it ends
    """

    inner: Collator = NEXT_TOKEN
    unknown: str = "<unk>"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.unknown, *self.inner.needs)

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.reads

    @property
    def both_sides(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.both_sides

    @property
    def learns_places(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.learns_places

    @property
    def mask(self) -> str | None:
        """The special token that hides, where the inner collator has one."""
        return getattr(self.inner, "mask", None)

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        admitted = self.at(key.step, key.steps) * rows.vocab_size
        rare = (rows.ids > admitted) & rows.plain
        return self.inner.collate(
            rows._replace(ids=np.where(rare, rows.specials[self.unknown], rows.ids)), key
        )  # fmt: skip
