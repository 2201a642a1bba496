"""A class-conditional model under its codes: likelihoods of texts, and of the next token of many at once.

Letters: c codes, b texts, v vocabulary, t places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.objectives.gedi import Gedi
from pipeline.contract import Context, Node
from stages.generate.folder import FolderLM
from stages.generate.loading import model_files

if TYPE_CHECKING:
    from torch import Tensor


def codes_of(model: Node) -> tuple[str, ...]:
    """The codes of a `pretrain` with `objective: gedi`; none of another node."""
    return next((one.codes for one in getattr(model, "objectives", ()) if isinstance(one, Gedi)), ())


class CodeModel:
    """A trained model with its codes, and the numbers that tell them apart: `alpha`, and a bias of each code."""

    def __init__(self, lm: FolderLM, codes: Sequence[str], alpha: float = 1.0, biases: Sequence[float] = ()) -> None:
        self.lm, self.codes, self.alpha = lm, tuple(codes), alpha
        self.biases = list(biases) or [0.0] * len(self.codes)

    @classmethod
    def of(cls, ctx: Context, field: str, batch_rows: int, device: str) -> CodeModel:
        """The model behind a field of the task's node."""
        from models.own_numbers import read

        lm = FolderLM(model_files(ctx, field), batch_rows=batch_rows, device=device)
        own = read(ctx.path("train", "all", "/model.safetensors", of=field))
        alpha = float(own["alpha"][0]) if "alpha" in own else 1.0
        biases = own["bias"].tolist() if "bias" in own else ()
        return cls(lm, codes_of(ctx.input(field)), alpha, biases)

    def bias(self, codes: Sequence[str]) -> Tensor:
        """fp64 `[c]` of some codes."""
        import torch

        return torch.tensor([self.biases[self.codes.index(code)] for code in codes], dtype=torch.float64)

    def posterior(self, texts: Sequence[str]) -> Tensor:
        """P(c | text) of all codes, fp64 `[c, b]`."""
        import torch

        # as it was trained: the token that ends a text is one of its tokens
        found = [self.lm.nll([code] * len(texts), texts, ends=True) for code in self.codes]
        mean_cb = torch.tensor([[-one.nats / one.tokens for one in of_code] for of_code in found], dtype=torch.float64)
        return torch.softmax(self.alpha * mean_cb + self.bias(self.codes)[:, None], 0)

    def read(self, prompts: Sequence[Sequence[int]], codes: Sequence[str]) -> CodeReading:
        """Begin to read answers to prompts, given as ids with the token that begins a text."""
        return CodeReading(self.lm, prompts, [self.lm.tokenizer.convert_tokens_to_ids(code) for code in codes])


class CodeReading:
    """Texts that are read under codes with a cache: the code stands behind the token that begins a text."""

    def __init__(self, lm: FolderLM, prompts: Sequence[Sequence[int]], codes: Sequence[int]) -> None:
        import torch

        self.lm, self.codes, self.texts = lm, len(codes), len(prompts)
        rows = [[prompt[0], code, *prompt[1:]] for code in codes for prompt in prompts]
        width = max(map(len, rows))
        fill = lm.tokenizer.pad_token_id
        self._prompts = rows
        self._given = torch.tensor([[fill] * (width - len(row)) + row for row in rows], device=lm.device)
        self._mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=lm.device)
        self._places = (self._mask.cumsum(-1) - 1).clamp_min(0)
        self._cache: Any = None
        self._first: Any = None  # log p of all places of the prompts

    def nothing(self) -> tuple[Tensor, list[int]]:
        """Log-probability of no token `[c, b]`, and how many that are."""
        import torch

        return torch.zeros(self.codes, self.texts, dtype=torch.float64), [0] * self.texts

    def of_prompts(self) -> tuple[Tensor, list[int]]:
        """Log-probability of the prompts' tokens behind the code `[c, b]`, and how many each has."""
        import torch

        logp_rtv = self._read_prompts()
        sums = []
        for row, ids in enumerate(self._prompts):
            tokens = torch.tensor(ids[2:], dtype=torch.int64)
            at = logp_rtv.shape[1] - len(ids) + 1  # the place of the code, which tells the first token
            sums.append(logp_rtv[row, at : at + len(tokens)].gather(-1, tokens[:, None]).sum())
        return torch.stack(sums).view(self.codes, -1), [len(ids) - 2 for ids in self._prompts[: self.texts]]

    def next(self, tokens: Sequence[int]) -> Tensor:
        """As `stages.generate.guide.Reading` has it."""
        import torch

        if not tokens:
            return self._read_prompts()[:, -1].view(self.codes, self.texts, -1)
        self._given = torch.tensor(list(tokens) * self.codes, device=self.lm.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._given)], 1)
        self._places = self._places[:, -1:] + 1
        return self._step()[:, -1].view(self.codes, self.texts, -1)

    def _read_prompts(self) -> Tensor:
        if self._first is None:
            self._first = self._step()
        return self._first

    def _step(self) -> Tensor:
        import torch

        with torch.no_grad():
            out = self.lm.causal(
                input_ids=self._given, attention_mask=self._mask, position_ids=self._places,
                past_key_values=self._cache, use_cache=True,
            )  # fmt: skip
        self._cache = out.past_key_values
        return torch.log_softmax(out.logits.double().cpu(), -1)
