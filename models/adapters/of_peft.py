"""What the adapters share whose layers come from `peft`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.adapter import Adapter

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftConfig

    from models.adapters.peft_layers import Draw
    from models.llama import LlamaModel


@dataclass(frozen=True, kw_only=True)
class OfPeft(Adapter):
    """An adapter that `peft` puts into a model."""

    library: ClassVar[str | None] = "peft"

    def config(self) -> PeftConfig:
        """Its configuration there."""
        raise NotImplementedError(f"{type(self).__name__}.config")

    def draws(self) -> dict[str, Draw]:
        """How its tensors begin that are drawn, by the part of the name that `peft` gives them."""
        return {}

    def attach(self, model: LlamaModel, seed: int | None) -> None:
        from models.adapters.peft_layers import put_in

        put_in(self.config(), model, seed, self.draws())

    def merge(self, model: LlamaModel) -> LlamaModel:
        from models.adapters.peft_layers import merge

        config = self.merged(model.config)
        assert config is not None, "asked for before"
        return merge(model, config)

    def write(self, model: LlamaModel, folder: Path) -> None:
        from models.adapters.peft_layers import write

        write(self.config(), model, folder)
