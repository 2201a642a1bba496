"""Bottleneck adapters: after each half of a block (Houlsby et al., ICML 2019), or beside it (He et al., ICLR 2022).

`peft` has none. Its output is a function of the whole half, so that no plain model equals one that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.accounting import Projection
from models.adapter import Adapter

if TYPE_CHECKING:
    from models.llama import LlamaModel
    from models.presets import Llama

HALVES = {"both": ("self_attn", "mlp"), "attention": ("self_attn",), "mlp": ("mlp",)}


@dataclass(frozen=True, kw_only=True)
class Bottleneck(Adapter):
    """`y + U silu(D x)` for a half of a block that gives y: U begins at zero, so the model begins as its base.

    - `width`: between D and U
    - `form`: "sequential" reads the half's output (x = y), "parallel" its input
    - `at`: the halves: "both", "attention" or "mlp"
    """

    width: int = 64
    form: Literal["sequential", "parallel"] = "sequential"
    at: Literal["both", "attention", "mlp"] = "both"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: found {self.width}, expected at least 1")

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        one = [(self.width, hidden), (self.width,), (hidden, self.width), (hidden,)]
        return layers * len(HALVES[self.at]) * one

    def merged(self, config: Llama) -> Llama | None:
        return None

    def attach(self, model: LlamaModel, seed: int | None) -> None:
        from models.adapters.bottleneck_layer import put_in

        put_in(model, self.width, HALVES[self.at], parallel=self.form == "parallel", seed=seed)
