"""Masked language modelling: hide tokens, see both sides, predict what is hidden (Gisserot-Boukhlef et al. 2025, arXiv
2507.00994). As a later stage behind next-token prediction it makes an encoder of a causal model.

Every token of the text is hidden with the same probability, always behind the mask token; the label stands at the
hidden place itself. Special tokens and filling are never hidden. A row is hidden anew in every step that shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stages.training.collate import Collator, Key, Rows, batch_of

if TYPE_CHECKING:
    import numpy as np

    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class MaskTokens(Collator):
    """Hide a share of the tokens and predict them, with attention to both sides.

    share  of the tokens of the text (EuroBERT: 0.3 to 0.5)
    mask   special token that hides; the tokenizer must reserve it (`specials`), so that it exists from the start
    predict  where the label of a hidden token stands: `at` its own place, or at the place `before` it, as a causal
             model has learned it (MNTP of LLM2Vec, BehnamGhader et al. 2024, arXiv 2404.05961)
    behind   what stands in its place: always the mask token (`mask`), or in 10 % another token and in 10 % itself
             (`mixed`, Devlin et al. 2019)
    """

    share: float = 0.4
    mask: str = "<mask>"
    predict: Literal["at", "before"] = "at"
    behind: Literal["mask", "mixed"] = "mask"

    both_sides = True

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share between 0 and 1")
        if self.predict not in ("at", "before"):
            raise ValueError(f"predict: found {self.predict!r}, expected at or before")
        if self.behind not in ("mask", "mixed"):
            raise ValueError(f"behind: found {self.behind!r}, expected mask or mixed")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.mask,)

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        from models.losses import IGNORE
        from models.objectives.masking import mask_tokens

        mask_id = rows.specials[self.mask]
        shown = [
            mask_tokens(ids, plain, self.share, mask_id, key.name(number, "mask"))
            for ids, plain, number in zip(rows.ids[:, :-1], rows.plain[:, :-1], rows.numbers.tolist(), strict=True)
        ]
        ids, labels = (np.stack(part) for part in zip(*shown, strict=True))
        if self.behind == "mixed":
            ids = np.stack([
                self._mixed(row, hidden, rows, key.name(number, "behind"))
                for row, hidden, number in zip(ids, labels, rows.numbers.tolist(), strict=True)
            ])  # fmt: skip
        if self.predict == "before":
            moved, documents = np.full_like(labels, IGNORE), rows.documents[:, :-1]
            moved[:, :-1] = np.where(documents[:, :-1] == documents[:, 1:], labels[:, 1:], IGNORE)
            labels = moved
        return batch_of(rows, ids, labels, attention="bidirectional")

    def _mixed(self, shown: np.ndarray, hidden: np.ndarray, rows: Rows, name: str) -> np.ndarray:
        """A row where in 10 % of the hidden places another token stands, and in 10 % the token itself."""
        import numpy as np

        from models.losses import IGNORE
        from models.objectives.masking import uniforms

        words = np.setdiff1d(np.arange(rows.vocab_size), [rows.end_id, *rows.specials.values()])
        drawn, chosen = uniforms(name, len(shown)), uniforms(f"{name}/word", len(shown))
        others = words[(chosen * len(words)).astype(np.int64)]
        shown = np.where((hidden != IGNORE) & (drawn < 0.1), others, shown)
        return np.where((hidden != IGNORE) & (drawn >= 0.9), hidden, shown)
