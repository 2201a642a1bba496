"""The layers of `peft` in our models: put in, drawn by name, merged, and written as its own folders.

`peft` draws a layer's start from the process's random state, in the order of the modules. Here each tensor is drawn
again, of the seed and its full name, as all tensors of a model are. The projections of LOST and its relatives are no
`nn.Linear`, so `peft` knows them by the hook for modules of others. The hook is a private name: pyproject.toml pins the
minor release, and `tests/models/test_adapters.py` holds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from models.convert import foreign
from models.llama import LlamaModel
from models.lost_init import generator
from models.presets import Llama
from models.projection import ProjectionModule
from models.tensor_files import save_tensors

NAME = "default"  # of the adapter, in names of tensors
Draw = Callable[[Tensor, torch.Generator], Any]


class ProjectionLora(LoraLinear):
    """LoRA beside a projection that is no plain matrix."""

    def _get_in_out_features(self, module: nn.Module) -> tuple[int, int]:
        assert isinstance(module, ProjectionModule)
        return module.in_width, module.out_width


def put_in(config: PeftConfig, model: LlamaModel, seed: int | None, draws: Mapping[str, Draw]) -> None:
    """Put the layers of a configuration into a model. `draws`: how the tensors begin that are drawn, by the part of the
    name that `peft` gives them.
    """
    if isinstance(config, LoraConfig) and type(config) is LoraConfig:
        config._register_custom_module({ProjectionModule: ProjectionLora})
    with torch.random.fork_rng(devices=[]):  # what peft draws moves the state of the process
        inject_adapter_in_model(config, model, NAME, low_cpu_mem_usage=seed is None)
    if seed is not None:
        draw(model, seed, draws)


@torch.no_grad()
def draw(model: nn.Module, seed: int, draws: Mapping[str, Draw]) -> None:
    """Draw tensors of a model, each of the seed and its full name, by a part of the name."""
    for name, parameter in model.named_parameters():
        for part, how in draws.items():
            if part in name.split("."):
                how(parameter, generator(seed, name))


def uniform(tensor_ri: Tensor, of: torch.Generator) -> None:
    """Kaiming's uniform start with a = sqrt(5), that of `nn.Linear`: within 1 / sqrt(in)."""
    bound = tensor_ri.shape[-1] ** -0.5
    tensor_ri.uniform_(-bound, bound, generator=of)


def narrow(tensor: Tensor, of: torch.Generator) -> None:
    """AdaLoRA's start: a normal law of standard deviation 0.02."""
    tensor.normal_(0.0, 0.02, generator=of)


def layers(model: nn.Module) -> list[tuple[str, BaseTunerLayer]]:
    """The layers that `peft` has put in, with their names."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]


@torch.no_grad()
def merge(model: LlamaModel, config: Llama) -> LlamaModel:
    """The model with its adapter folded into its tensors, now of this configuration: where that is dense and the model
    is not, its factors become matrices. Raises NotMergeable.
    """
    if config != model.config:
        for name, module in list(model.named_modules()):
            if isinstance(module, ProjectionModule):
                replace(model, name, _dense(module))
        model.config = config
    for name, layer in layers(model):
        layer.merge()
        replace(model, name, layer.get_base_layer())
    model.adapter, model.base = None, None
    return model.requires_grad_(True)


def _dense(module: ProjectionModule) -> nn.Linear:
    linear = nn.Linear(module.in_width, module.out_width, bias=False, device="meta")
    linear.weight = nn.Parameter(module.merge(), requires_grad=False)
    return linear


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one with this full name."""
    above, _, last = name.rpartition(".")
    setattr(model.get_submodule(above), last, module)


def write(config: PeftConfig, model: LlamaModel, folder: Path) -> None:
    """`adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` loads. Equal adapters
    give equal bytes; `peft` itself writes sets in the order of their hashes.
    """
    tensors = {
        f"base_model.model.{foreign(_stripped(name))}": parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_tensors(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    found = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    text = json.dumps(found | {"inference_mode": True, "task_type": "CAUSAL_LM"}, indent=2, sort_keys=True)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _stripped(name: str) -> str:
    """A name as `peft` writes it: without the adapter's own, and DoRA's magnitude as one tensor."""
    short = ".".join(part for part in name.split(".") if part != NAME)
    return short.removesuffix(".weight") if "lora_magnitude_vector" in short else short
