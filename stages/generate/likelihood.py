"""How likely a model holds a text that stands behind another one: the loss of an answer, given its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, RowFunction
from stages.generate.loading import Backend, check_model, open_model
from stages.generate.over_rows import ModelRows
from stages.generate.prompt import Template
from stages.wants import ModelOrFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood(ModelRows):
    """Add the negative log-likelihood of a target behind its prompt: float32 `<as>_nats`, the sum over the tokens of
    the target, int32 `<as>_tokens` and int32 `<as>_bytes`, which compares models of different tokenizers.

    model       a `pretrain`, `hf_model`, `export` or `model_folder` node
    prompt      with columns in braces: `{question}`; it is no part of the sum. Empty = the target begins the text
    target      with columns in braces, tokenised apart from the prompt
    ends        count the token that ends a text behind the target, as a training on answers learns it
    max_chars   how much of the text is put into either, from its beginning
    batch_rows  documents, and then windows, at once; configuration, since the last bits of a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    backend     what runs it: `transformers`, or `vllm` (extra `vllm`), which promises no equal answers
    as_         (`as` in a recipe) what the names of the columns begin with
    actors      (fewest, most) workers that hold the model
    commit_rows documents after which what is known of a shard is kept in the store
    """

    model: ModelOrFolder
    prompt: str
    target: str
    ends: bool = False
    max_chars: Positive = 10_000
    backend: Backend = "transformers"
    as_: str = "likelihood"

    version = 2  # an adapter is folded into its model

    def check(self) -> None:
        check_model(self.model, "likelihood.model", self.backend)
        prompt, target = self._templates()
        if self.prompt:
            prompt.check("likelihood.prompt", self.docs)
        target.check("likelihood.target", self.docs)

    def _templates(self) -> tuple[Template, Template]:
        return Template(self.prompt, self.max_chars), Template(self.target, self.max_chars)

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(dict.fromkeys(name for one in self._templates() for name in one.columns()))

    def adds(self):
        return {f"{self.as_}_nats": "float32", f"{self.as_}_tokens": "int32", f"{self.as_}_bytes": "int32"}

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np

        lm = open_model(ctx, "model", self.batch_rows, self.device, backend=self.backend)
        prompt, target = self._templates()

        def rows(table: Any) -> Columns:
            targets = list(target.fill(table))
            found = lm.nll(list(prompt.fill(table)), targets, ends=self.ends)
            return Columns(
                added={
                    f"{self.as_}_nats": np.array([one.nats for one in found], np.float32),
                    f"{self.as_}_tokens": np.array([one.tokens for one in found], np.int32),
                    f"{self.as_}_bytes": np.array([len(text.encode()) for text in targets], np.int32),
                }
            )

        return rows
