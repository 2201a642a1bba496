"""Score documents by a transformer with a head: a regression (FineWeb-Edu's shape) or one label of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, RowFunction
from pipeline.errors import DataError
from stages.documents import TEXT
from stages.generate.loading import open_classifier
from stages.generate.over_rows import ModelRows
from stages.wants import ModelFiles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class HfQuality(ModelRows):
    """Add the score of a sequence classifier: float32. Nothing is removed: `select` does that.

    model       a `model_folder` node with a classification head
    label       the label whose probability is the score; left out for a regression, whose value is the score
    max_tokens  how much of a document is read, from its beginning
    batch_rows  documents at once; part of the identity, since a model's sums depend on it
    actors      (fewest, most) workers that hold the model
    as_         (`as` in a recipe) the name of the column
    device      `cpu` or `cuda`; configuration, since their sums differ

    Errors: `DataError` for a folder that has no such head or label.
    """

    model: ModelFiles
    label: str | None = None
    max_tokens: Positive = 512
    as_: str = "quality"

    def adds(self):
        return {self.as_: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import torch

        tokenizer, model = open_classifier(ctx, "model", self.device, "a classification head")
        labels = model.config.id2label
        if self.label is None and len(labels) != 1:
            raise DataError("hf_quality.label", f"nothing, for the labels {[*labels.values()]}", "one of them")
        if self.label is not None and self.label not in labels.values():
            raise DataError("hf_quality.label", f"{self.label!r}", f"one of {[*labels.values()]}")
        place = next((i for i, name in labels.items() if name == self.label), 0)

        def rows(table: pa.Table) -> Columns:
            import pyarrow as pa

            batch = tokenizer(
                table[TEXT].to_pylist(), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
            ).to(self.device)
            with torch.no_grad():
                logits_bl = model(**batch).logits.float()
            scores_b = logits_bl[:, 0] if self.label is None else logits_bl.softmax(-1)[:, place]
            return Columns(added={self.as_: pa.array(scores_b.cpu().numpy(), pa.float32())})

        return rows
