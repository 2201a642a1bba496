"""(IA)3 (Liu et al., NeurIPS 2022, arXiv 2205.05638)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.accounting import Projection
from models.adapter import targeted
from models.adapters.of_peft import OfPeft

if TYPE_CHECKING:
    from peft import IA3Config

    from models.presets import Llama

OUTPUTS, INPUTS = ("k_proj", "v_proj"), ("down_proj",)


@dataclass(frozen=True, kw_only=True)
class Ia3(OfPeft):
    """Scale keys, values and what enters `down_proj`, by a factor for each channel that begins at 1."""

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        outputs = [(o, 1) for _, o, _ in targeted(block, OUTPUTS)]
        return layers * [*outputs, *((1, i) for _, _, i in targeted(block, INPUTS))]

    def unfit(self, config: Llama) -> tuple[str, str] | None:
        if config != config.dense:
            return f"ia3 in a {type(config).__name__}, whose projections are no matrices", "a llama, or lora"
        return None

    def config(self) -> IA3Config:
        from peft import IA3Config

        # said, since the library's own choice differs between families of models
        return IA3Config(target_modules=[*OUTPUTS, *INPUTS], feedforward_modules=list(INPUTS))
