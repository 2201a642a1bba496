"""Training a fastText classifier (Joulin et al. 2016): the same bytes for the same lines.

One thread, since two race; and a process of its own (the caller's `fresh`), since some builds keep state from one
training to the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stages.fasttext_models import LABEL, build, whole_line
from stages.quality.drawing import LabelledLine

# What 5 passes over 7,800 documents come to, where the choices of these files were measured. How far fastText gets is a
# matter of learning rate times updates: 300 documents and 5 passes leave every score at 0.5, 40,000 updates rank as
# well as more do.
UPDATES = 40_000
GRAMS = {
    "char": {"wordNgrams": 1, "minn": 2, "maxn": 4},  # 2- to 4-grams within words
    "word": {"wordNgrams": 2, "minn": 0, "maxn": 0},  # single words and pairs: DCLM's
}
Analyzer = Literal["char", "word"]


@dataclass(frozen=True)
class Fit:
    """What decides the bytes of a model, beside its lines."""

    analyzer: Analyzer
    dim: int
    buckets: int
    epochs: int | None
    lr: float

    def run(self, documents: Sequence[LabelledLine]) -> Any:
        """The model trained on the documents, in their order."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{LABEL}{document.label} {whole_line(document.line)}\n" for document in documents)
            return build().train_supervised(
                input=str(path), lr=self.lr, epoch=self.epochs or max(5, -(-UPDATES // len(documents))), dim=self.dim,
                bucket=self.buckets, minCount=1, loss="softmax", thread=1, verbose=0, **GRAMS[self.analyzer],
            )  # fmt: skip

    def bytes(self, documents: int) -> int:
        """About so many bytes has a model."""
        return 4 * self.dim * (self.buckets + 20 * documents)
