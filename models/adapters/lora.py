"""LoRA (Hu et al. 2021, arXiv 2106.09685), with the scale of rsLoRA (Kalajdzievski 2023, arXiv 2312.03732) and the
decomposition of DoRA (Liu et al., ICML 2024, arXiv 2402.09353).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.accounting import Projection
from models.adapter import Targets, checked_targets, targeted
from models.adapters.of_peft import OfPeft

if TYPE_CHECKING:
    from peft import LoraConfig

    from models.adapters.peft_layers import Draw
    from models.presets import Llama


@dataclass(frozen=True, kw_only=True)
class Lora(OfPeft):
    """`W x + scale B A x`: A is drawn, B begins at zero, so the model begins as its base.

    - `rank`: numbers between A and B
    - `alpha`: of the scale; 0 leaves the base as it is
    - `targets`: names of projections, or "all"
    - `scale`: "plain" is alpha / rank, "rslora" alpha / sqrt(rank)
    - `dora`: train the length of each output's weights beside their direction; for dense projections
    """

    rank: int = 8
    alpha: int = 16
    targets: Targets = ("q_proj", "v_proj")
    scale: Literal["plain", "rslora"] = "plain"
    dora: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", checked_targets(self.targets))
        if self.rank < 1 or self.alpha < 0:
            raise ValueError(f"rank, alpha: found {self.rank}, {self.alpha}, expected at least 1 and at least 0")

    @property
    def compiles(self) -> bool:
        return not self.dora  # torch.compile gives up in peft's layer

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for _, o, i in targeted(block, self.targets):
            found += [(self.rank, i), (o, self.rank), *([(o,)] if self.dora else [])]
        return layers * found

    def unfit(self, config: Llama) -> tuple[str, str] | None:
        if self.dora and config != config.dense:
            return f"dora in a {type(config).__name__}, whose projections are no matrices", "a llama, or dora: false"
        return None

    def merged(self, config: Llama) -> Llama | None:
        return config.dense if config.merges else None

    def draws(self) -> dict[str, Draw]:
        from models.adapters.peft_layers import uniform

        return {"lora_A": uniform}

    def config(self) -> LoraConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, target_modules=list(self.targets), use_dora=self.dora,
            use_rslora=self.scale == "rslora",
        )  # fmt: skip
