"""Vectors of documents, by any model that has hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, RowFunction
from pipeline.errors import DataError, RecipeError
from stages.generate.endpoint import Endpoint
from stages.generate.lm import Pooling
from stages.generate.loading import check_model, open_model, width_of
from stages.generate.over_rows import ModelRows
from stages.generate.prompt import Template
from stages.wants import ModelOrFolder

SORTED = 16  # batches are sorted at once: padding adds 4 % of the tokens of manuals, and 56 % in the order of arrival


@dataclass(frozen=True, kw_only=True, eq=False)
class Embed(ModelRows):
    """Add one vector of unit length for each document: float32 `[width]`.

    model       a `pretrain`, `export` or `model_folder` node, or an endpoint (whose vectors are taken as they are)
    template    what is read of a document, with columns in braces; `This sentence: "{text}" means in one word: "` with
                pooling `last` is PromptEOL (Jiang et al. 2023, arXiv 2307.16645)
    instruction  what stands before each text, and is seen but not pooled; it is tokenised apart
    pooling     `mean` of the tokens' last states, `weighted` by their place (1, 2, ...), or that of the `first` or
                `last` token; `echo`: the text is read twice, and the mean taken over the second copy; `static` is the
                mean of the tokens' input embeddings, which runs no layer of the network
    width       of a vector; needed where the model's configuration is not known before the run
    max_chars   how much of a document is read, from its beginning
    batch_rows  documents at once, of about one length: 16 times as many are sorted by it (with `batch_tokens` they are
                not). Part of the identity, since a model's sums depend on what else is in a batch
    batch_tokens  fewer at once where they are long: rows of a batch times the longest of them, a token for four bytes
    actors      (fewest, most) workers that hold the model
    as_         (`as` in a recipe) the name of the column
    device      `cpu` or `cuda`; configuration, since their sums differ

    Errors: `DataError` when the model's vectors have another width.
    """

    model: ModelOrFolder | Endpoint
    template: str = "{text}"
    instruction: str = ""
    pooling: Pooling = "mean"
    width: Positive | None = None
    max_chars: Positive = 10_000
    batch_tokens: Positive | None = None
    as_: str = "vector"

    version = 5  # a batch is of about one length in tokens, before in characters

    def check(self) -> None:
        check_model(self.model, "embed.model", writes=False)
        self._template().check("embed.template", self.docs)
        if isinstance(self.model, Endpoint) and (self.instruction or self.pooling != "mean"):
            found = "an instruction" if self.instruction else f"pooling: {self.pooling}"
            raise RecipeError(
                "embed.model", f"an endpoint, and {found}, which its server knows nothing of",
                "a model that is loaded here", "write the instruction into `template`, and leave `pooling` out",
            )  # fmt: skip
        known = width_of(self.model)
        if known is None and self.width is None:
            raise RecipeError("embed.width", "nothing", "the width of the model's vectors (`hidden_size`)")
        if known is not None and self.width not in (None, known):
            raise RecipeError("embed.width", f"{self.width}", f"{known}, the width of the model")

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._template().columns()

    def _template(self) -> Template:
        return Template(self.template, self.max_chars)

    def adds(self):
        return {self.as_: f"float32[{self.width or width_of(self.model)}]"}

    def phases(self):
        # A batch is as long as its longest text. An endpoint pads nothing, and takes what it is sent as one request.
        alone = isinstance(self.model, Endpoint) or self.batch_tokens is not None
        return (self.model_phase(self.batch_rows * (1 if alone else SORTED), self.batch_tokens),)

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        lm = open_model(ctx, "model", self.batch_rows, self.device)
        width = int(self.width or width_of(self.model) or 0)

        def rows(table: pa.Table) -> Columns:
            vectors: Any = lm.embed(list(self._template().fill(table)), self.pooling, instruction=self.instruction)
            if vectors.shape[1] != width:
                raise DataError("embed.model", f"vectors of {vectors.shape[1]} numbers", f"{width} (the field `width`)")
            flat = pa.array(vectors.ravel(), pa.float32())
            return Columns(added={self.as_: pa.FixedSizeListArray.from_arrays(flat, width)})

        return rows
