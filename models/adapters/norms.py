"""Tuning of the norms alone (Zhao et al. 2023, arXiv 2312.11420): for a Llama, which has no biases, what BitFit is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.accounting import Projection
from models.adapters.of_peft import OfPeft

if TYPE_CHECKING:
    from peft import LNTuningConfig

    from models.llama import LlamaModel

NORMS = ("input_layernorm", "post_attention_layernorm", "norm")


@dataclass(frozen=True, kw_only=True)
class Norms(OfPeft):
    """Train the weights of the norms, the last one among them."""

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        return [(hidden,)] * (2 * layers + 1)

    def attach(self, model: LlamaModel, seed: int | None) -> None:
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # a norm of ours, which it copies
            super().attach(model, seed)

    def config(self) -> LNTuningConfig:
        from peft import LNTuningConfig

        return LNTuningConfig(target_modules=list(NORMS))
