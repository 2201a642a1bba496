"""Masked language modelling: hide tokens, see both sides, predict what is hidden (Gisserot-Boukhlef et al. 2025, arXiv
2507.00994). As a later stage behind next-token prediction it makes an encoder of a causal model.

Every token of the text is hidden with the same probability, always behind the mask token; the label stands at the
hidden place itself. Special tokens and filling are never hidden. A row is hidden anew in every step that shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.training.collate import Collator, Key, Rows, batch_of

if TYPE_CHECKING:
    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class MaskTokens(Collator):
    """Hide a share of the tokens and predict them, with attention to both sides.

    share  of the tokens of the text (EuroBERT: 0.3 to 0.5)
    mask   special token that hides; the tokenizer must reserve it (`specials`), so that it exists from the start
    """

    share: float = 0.4
    mask: str = "<mask>"

    both_sides = True

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share between 0 and 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.mask,)

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        from models.objectives.masking import mask_tokens

        mask_id = rows.specials[self.mask]
        shown = [
            mask_tokens(ids, plain, self.share, mask_id, key.name(number, "mask"))
            for ids, plain, number in zip(rows.ids[:, :-1], rows.plain[:, :-1], rows.numbers.tolist(), strict=True)
        ]
        ids, labels = (np.stack(part) for part in zip(*shown, strict=True))
        return batch_of(rows, ids, labels, attention="bidirectional")
