"""AdaLoRA (Zhang et al., ICLR 2023, arXiv 2303.10512): LoRA whose ranks are shared out among the matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.accounting import Projection
from models.adapter import Targets, checked_targets, targeted
from models.adapters.of_peft import OfPeft

if TYPE_CHECKING:
    from peft import AdaLoraConfig

    from models.adapters.peft_layers import Draw
    from models.llama import LlamaModel
    from models.presets import Llama


@dataclass(frozen=True, kw_only=True)
class AdaLora(OfPeft):
    """`W x + alpha / first_rank P diag(l) Q x`. Every matrix begins with `first_rank` directions; the budget falls, as
    a cubic of the step, to `rank` in the mean, and the directions that matter least to the loss are cut.

    - `first_rank`: directions of a matrix at the start
    - `rank`: directions of a matrix in the mean, from `end` on
    - `alpha`: of the scale
    - `targets`: names of projections, or "all"
    - `begin`, `end`: shares of the run's steps at which the budget begins to fall, and at which it has fallen
    - `every`: steps between two cuts
    - `smooth`: decay of the means of a number's importance and of its uncertainty
    - `orthogonal`: weight of the penalty that keeps P and Q near orthogonal
    """

    first_rank: int = 12
    rank: int = 8
    alpha: int = 16
    targets: Targets = "all"
    begin: float = 0.1
    end: float = 0.7
    every: int = 1
    smooth: tuple[float, float] = (0.85, 0.85)
    orthogonal: float = 0.5

    in_shards: ClassVar[bool] = False  # directions are compared over all matrices

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", checked_targets(self.targets))
        object.__setattr__(self, "smooth", tuple(self.smooth))
        if not 1 <= self.rank < self.first_rank:
            raise ValueError(f"rank: found {self.rank}, expected 1 to below first_rank ({self.first_rank})")
        if self.alpha < 1 or self.every < 1 or self.orthogonal < 0.0:
            raise ValueError("alpha, every, orthogonal: expected at least 1, 1 and 0")
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(f"begin, end: found {self.begin}, {self.end}, expected rising shares of the run")
        if len(self.smooth) != 2 or not all(0.0 <= one < 1.0 for one in self.smooth):
            raise ValueError(f"smooth: found {self.smooth}, expected two numbers from 0 to below 1")

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        r = self.first_rank
        return layers * [shape for _, o, i in targeted(block, self.targets) for shape in ((r, i), (r, 1), (o, r))]

    def unfit(self, config: Llama) -> tuple[str, str] | None:
        if config != config.dense:
            return f"adalora in a {type(config).__name__}, whose projections are no matrices", "a llama, or lora"
        return None

    def attach(self, model: LlamaModel, seed: int | None) -> None:
        from models.adapters.rank_budget import remember, svd_layers

        super().attach(model, seed)
        for layer in svd_layers(model):
            layer.ranknum.requires_grad_(False)  # a constant, which peft thaws on "meta"
        if seed is not None:
            remember(model)

    def draws(self) -> dict[str, Draw]:
        from models.adapters.peft_layers import narrow

        return {"lora_A": narrow, "lora_B": narrow}

    def penalise(self, model: LlamaModel) -> None:
        from models.adapters.rank_budget import penalise

        penalise(model, self.orthogonal)

    def stepped(self, model: LlamaModel, step: int, steps: int) -> None:
        from models.adapters.rank_budget import cut

        cut(model, self, step, steps)

    def budget(self, step: int, steps: int, matrices: int) -> int:
        """Directions of all matrices together after a step."""
        first, last = self.first_rank * matrices, self.rank * matrices
        begin, end = self.window(steps)
        left = min(1.0, max(0.0, 1.0 - (step - begin) / max(1, end - begin)))
        return int((first - last) * left**3 + last)

    def window(self, steps: int) -> tuple[int, int]:
        """The steps at which the budget begins to fall, and at which it has fallen; both lie in the run."""
        end = max(0, min(steps - 1, round(self.end * steps)))
        return min(round(self.begin * steps), max(0, end - 1)), end

    def config(self) -> AdaLoraConfig:
        from peft import AdaLoraConfig

        # the steps are ours to count: the library's own allocator, which needs them, is not used
        return AdaLoraConfig(
            init_r=self.first_rank, target_r=self.rank, lora_alpha=self.alpha, target_modules=list(self.targets),
            total_step=10**9, orth_reg_weight=self.orthogonal, beta1=0.85, beta2=0.85,
        )  # fmt: skip
