"""Keep pairs of which each text follows from the other one, or summaries that follow from what they sum up.

Source: Jung et al. 2023 (Impossible Distillation, arXiv 2305.16635), who ask a RoBERTa-large of natural language
inference and keep what it is sure of by three quarters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Positive, Share
from pipeline.contract import Columns, Context, Removed, Resources, RowFunction, threshold
from stages.distillation.critics import check_text
from stages.distillation.judged import FunctionName, check_judge
from stages.documents import TEXT
from stages.generate.over_rows import ModelRows
from stages.wants import ModelFiles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Entail(ModelRows):
    """Drop pairs in which a text does not follow from the other one; reason `entail.not`.

    model       a `model_folder` node with a head for pairs; its labels come from `id2label`
    fn          instead of a model a function of yours, `package.module:function`, from two lists of texts, premises and
                hypotheses, to probabilities
    x           the column that `text` is held against
    both        whether each must follow from the other one, as of paraphrases; else `text` alone from `x`
    min_entail  the probability at which a text follows
    version_    (`version` in a recipe) raise it when `fn` gives other values
    max_tokens  of a pair; what is longer is cut
    batch_rows  pairs at once; part of the identity, since a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    actors      (fewest, most) workers that hold the model

    Adds: `entail_forward` float32, the probability that `text` follows from `x`, and with `both` `entail_backward`.
    Errors: `DataError` for a model without the label `entailment`.
    """

    model: ModelFiles | None = None
    fn: FunctionName | None = None
    x: str = "x"
    both: bool = True
    min_entail: Share = threshold(0.75)
    version_: Positive = 1
    max_tokens: Positive = 256

    reasons = ("entail.not",)

    def check(self) -> None:
        check_judge("entail", self.model, self.fn)
        check_text("entail.x", self.x, self.docs)

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return () if self.model is None else ("transformers", "tokenizers")

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (TEXT, self.x)

    @property
    def histograms(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return {name: (0.0, 1.0, 40, "min_entail") for name in self.adds()}

    def code(self) -> tuple[str, ...]:
        return () if self.fn is None else (self.fn.partition(":")[0],)

    def adds(self) -> Mapping[str, str]:
        return dict.fromkeys(("entail_forward", "entail_backward") if self.both else ("entail_forward",), "float32")

    def resources(self) -> Resources:
        if self.model is None:
            return Resources()
        return super().resources()

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        from stages.distillation.judged import open_judge

        judged = open_judge(ctx, self.batch_rows, self.device, self.max_tokens)

        def rows(table: pa.Table) -> Columns:
            x, y = [each or "" for each in table[self.x].to_pylist()], table[TEXT].to_pylist()
            sides = {"entail_forward": (x, y)} | ({"entail_backward": (y, x)} if self.both else {})
            return Columns(added={name: pa.array(judged(*pair), pa.float32()) for name, pair in sides.items()})

        return rows

    def decide(self, scores: pa.Table) -> Removed | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        least = pa.scalar(self.min_entail, pa.float32())
        return Removed.first(
            [
                Removed.where(pc.less(scores[name], least), "entail.not", scores[name], self.min_entail)
                for name in self.adds()
            ]
        )
