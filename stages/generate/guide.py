"""What steers a model that writes: the slot, and GeDi with its control.

A guide is a frozen value in the field `guide` of `generate`. It is opened once in a worker (`open`), and then on the
prompts of each batch (`Opened.over`), which gives a rule for the next token (`models.generate.Rule`) that keeps a
cache of its own. A new one is a file with a class of this base and a line in `stages.catalog.GUIDES`.

Letters: c codes, b texts, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from models.fields import Typed
from pipeline.contract import Context, Node
from pipeline.errors import DataError, RecipeError
from stages.generate.codes import CodeModel, codes_of
from stages.generate.folder import FolderLM
from stages.training.lineage import alike
from stages.training.planned_model import tokenizer_of

if TYPE_CHECKING:
    from torch import Tensor

    from models.generate import Rule


@dataclass(frozen=True, kw_only=True)
class Guide(metaclass=Typed):
    """Base of all guides.

    model    a `pretrain` node with `objective: gedi`, of the tokenizer of the model that writes
    wanted   the code of the class that answers shall be of
    against  the code of the class that they shall not be of
    """

    model: Node
    wanted: str
    against: str

    def check(self, place: str, writer: Node) -> None:
        """Raise RecipeError for a model without these codes, or of other tokens than the one that writes."""
        codes = codes_of(self.model)
        for name in ("wanted", "against"):
            if getattr(self, name) not in codes:
                found = f"{getattr(self, name)!r}" + ("" if codes else f", of a {self.model.kind()}")
                raise RecipeError(
                    f"{place}.{name}", found, f"one of {', '.join(codes)}" if codes else "a model with objective: gedi"
                )
        if self.wanted == self.against:
            raise RecipeError(f"{place}.against", f"{self.against!r}, as in wanted", "the code of another class")
        ours, theirs = tokenizer_of(self.model), tokenizer_of(getattr(writer, "model", writer))
        ours_too = tokenizer_of(writer) or theirs
        if ours is not None and ours_too is not None and not alike(ours, ours_too):
            raise RecipeError(
                f"{place}.model", "a model of another tokenizer than the one that writes", "one vocabulary for both",
                "pack the rows of both with one tokenizer",
            )  # fmt: skip

    def open(self, ctx: Context, batch_rows: int, device: str) -> Opened:
        """The guide with its model, in a worker."""
        model = CodeModel.of(ctx, "guide", batch_rows, device)
        return Opened(self, model, (model.codes.index(self.wanted), model.codes.index(self.against)))

    def logits(self, logits_bv: Tensor, logp_cbv: Tensor, history_cb: Tensor, counted: int, model: CodeModel) -> Tensor:
        """The logits of the answers' next tokens. Of the wanted code and then the other one: `logp_cbv` of every next
        token, and `history_cb` of the `counted` tokens so far.
        """
        raise NotImplementedError(f"{type(self).__name__}.logits")

    @property
    def from_begin(self) -> bool:
        """Whether the tokens of the prompt count."""
        return False


@dataclass(frozen=True, kw_only=True)
class GediGuide(Guide):
    """`p(v) P(wanted | answer, v)^omega`, and of that the tokens with the highest P (Krause et al. 2020, arXiv
    2009.06367).

    omega  how much the class counts; 0 = not at all
    rho    the fewest tokens with the highest P stay that together hold this mass; 1 = all
    tau    every token stays whose P is above this; 1 = none for that reason
    per    `length`: P by the mean over the tokens, as the codes were trained; `none`: by their sum, which is Bayes'
    after  which tokens P counts: those of the answer, behind the `prompt`, or all from the `begin`. A long prompt that
           counts freezes P
    """

    omega: float = 30.0
    rho: float = 0.2
    tau: float = 0.8
    per: Literal["length", "none"] = "length"
    after: Literal["prompt", "begin"] = "prompt"

    def __post_init__(self) -> None:
        if self.omega < 0.0:
            raise ValueError(f"omega: found {self.omega!r}, expected at least 0")
        if not 0.0 < self.rho <= 1.0:
            raise ValueError(f"rho: found {self.rho!r}, expected a share above 0, at most 1")
        if not 0.0 <= self.tau <= 1.0:
            raise ValueError(f"tau: found {self.tau!r}, expected a probability")

    @property
    def from_begin(self) -> bool:
        return self.after == "begin"

    def logits(self, logits_bv: Tensor, logp_cbv: Tensor, history_cb: Tensor, counted: int, model: CodeModel) -> Tensor:
        from models.guided import posteriors, steered

        bias_c = model.bias([self.wanted, self.against])
        logp_bv = posteriors(history_cb, logp_cbv, counted, alpha=model.alpha, bias_c=bias_c, per=self.per)[0]
        return steered(logits_bv, logp_bv, omega=self.omega, rho=self.rho, tau=self.tau)


@dataclass(frozen=True, kw_only=True)
class Difference(Guide):
    """`z + strength (z_wanted - z_against)` of log-probabilities (DExperts, Liu et al. 2021, arXiv 2105.03023): the
    control of `gedi_guide`, which knows nothing of the tokens so far.

    strength  of the difference
    """

    strength: float = 1.0

    def logits(self, logits_bv: Tensor, logp_cbv: Tensor, history_cb: Tensor, counted: int, model: CodeModel) -> Tensor:
        return logits_bv + self.strength * (logp_cbv[0] - logp_cbv[1])


@dataclass(frozen=True)
class Opened:
    """A guide over its model. `at`: places of the wanted code and of the other one."""

    guide: Guide
    model: CodeModel
    at: tuple[int, int]

    def check(self, writer: FolderLM) -> None:
        """Raise DataError for a model that writes with other tokens."""
        if writer.tokenizer.get_vocab() != self.model.lm.tokenizer.get_vocab():
            raise DataError(
                "generate.guide.model", "a model of another vocabulary than the one that writes", "one vocabulary",
                "pack the rows of both with one tokenizer",
            )  # fmt: skip

    def over(self, prompts: Sequence[Sequence[int]]) -> Rule:
        """A rule for the answers to these prompts, given as ids. It is asked for one token after another."""
        reading = self.model.read(prompts, [self.model.codes[place] for place in self.at])
        if self.guide.from_begin:
            history_cb, counted_b = reading.of_prompts()
        else:
            history_cb, counted_b = reading.nothing()
        return Steering(self.guide, self.model, reading, history_cb, counted_b)


class Reading(Protocol):
    """A model that reads texts under codes, token by token."""

    def next(self, tokens: Sequence[int]) -> Tensor:
        """log p of the token behind each text, fp64 `[c, b, v]`. `tokens`: what was written since, one for each text;
        nothing when it is first asked.
        """
        ...


class Steering:
    """The rule of one batch: what its texts have been likely so far under each code."""

    def __init__(
        self, guide: Guide, model: CodeModel, reading: Reading, history_cb: Tensor, counted: Sequence[int]
    ) -> None:
        self.guide, self.model, self.reading = guide, model, reading
        self.history_cb, self.counted = history_cb, list(counted)
        self._last_cbv: Tensor | None = None

    def __call__(self, ids: Sequence[list[int]], logits_bv: Tensor) -> Tensor:
        import torch

        tokens: list[int] = []
        if self._last_cbv is not None:
            # a text that has ended gets no more tokens, and its logits no more reader
            tokens = [one[-1] if one else 0 for one in ids]
            at_cb1 = torch.tensor(tokens)[None, :, None].expand(len(self._last_cbv), -1, 1)
            self.history_cb = self.history_cb + self._last_cbv.gather(-1, at_cb1)[:, :, 0]
            self.counted = [count + 1 for count in self.counted]
        self._last_cbv = self.reading.next(tokens)
        by_count = [
            self.guide.logits(
                logits_bv[b : b + 1], self._last_cbv[:, b : b + 1], self.history_cb[:, b : b + 1], count, self.model
            )
            for b, count in enumerate(self.counted)
        ]
        return torch.cat(by_count)
