"""A model as one self-describing file: safetensors, with the configuration in its header.

The header holds format, kind, every field of the configuration, vocabulary and length; so a file loads
without the recipe that made it. A model with an adapter is whole, too: the file holds the frozen tensors beside the
trained ones, and the header the adapter and the SHA-256 of the file that the frozen ones are from. The numbers of an
objective stand beside the model's tensors (`models.own_numbers`), and `load` leaves them out. Leaves out optimiser
state (checkpoints are the trainer's) and foreign formats (`models.convert`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from models import ADAPTERS, MODELS
from models.adapter import Adapter, adapter_of, attach
from models.build import structure
from models.llama import LlamaModel
from models.presets import Llama
from models.projection import ProjectionModule
from models.strange_files import StrangeFile, check_numbers, mapping, tensors_of
from models.tensor_files import save_tensors

FORMAT = 1
# one key only: the order of several in a header is not fixed, and equal models shall be equal bytes
HEADER = "siftloom_model"


# fields that files did not always have: left out at their default, so that a file of before has the bytes of one of now
LATER = ("kv_heads", "tied")


class ModelFileError(ValueError):
    """A file that is not a model of this format, or whose tensors contradict its header."""


def describe(config: Llama | Adapter) -> dict[str, Any]:
    """The configuration of a model or an adapter as plain JSON values: its recipe name as `kind`, and its fields."""
    kind = next(name for name, value in (MODELS | ADAPTERS).items() if type(config) is value)
    said = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in LATER or getattr(config, field.name) != field.default
    }
    return {"kind": kind, **said}


def configuration(description: Mapping[str, Any], kinds: Mapping[str, Callable[..., Any]] = MODELS) -> Any:
    """The inverse of `describe`; raises ModelFileError for an unknown kind or field."""
    fields = dict(description)
    kind = fields.pop("kind", None)
    if kind not in kinds:
        raise ModelFileError(f"kind: found {kind!r}, expected one of {', '.join(kinds)}")
    try:
        return kinds[kind](**fields)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"configuration of {kind}: {error}") from error


def save(path: Path, model: LlamaModel, tensors: Mapping[str, Tensor] | None = None) -> None:
    """Write the model; equal models give equal bytes.

    `tensors`: the full state dict when the module itself holds shards.
    """
    held = model.state_dict() if tensors is None else tensors
    header = {
        "format": FORMAT,
        "model": describe(model.config),
        "vocab_size": model.vocab_size,
        "max_length": model.max_length,
    }
    if (adapter := adapter_of(model)) is not None:
        header |= {"adapter": describe(adapter), "base": model.base}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in held.items()}
    save_tensors(plain, path, {HEADER: json.dumps(header, sort_keys=True)})


def load(path: Path) -> LlamaModel:
    """The model of a file, on the CPU; raises ModelFileError when it is none, or contradicts itself."""
    try:
        stored = tensors_of(path)
        with safe_open(path, framework="pt") as file:
            header = mapping((file.metadata() or {}).get(HEADER, "{}").encode(), path.name)
            tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("own.")}
    except (OSError, SafetensorError, StrangeFile) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file: {error}") from error
    if header.get("format") != FORMAT:
        raise ModelFileError(f"{path}: found model format {header.get('format')!r}, expected {FORMAT}")
    try:
        check_numbers(header, {"vocab_size": (1, 1 << 24), "max_length": (1, 1 << 28)}, path.name)
        config = configuration(header["model"])
        if config.shape.layers > len(stored):
            raise ModelFileError(f"{path}: found {config.shape.layers:,} layers in {len(stored):,} tensors")
        model = structure(config, header["vocab_size"], header["max_length"], "meta")
    except (KeyError, TypeError, StrangeFile) as error:
        raise ModelFileError(f"{path}: its header does not describe a model: {error}") from error
    if "adapter" in header:
        attach(configuration(header["adapter"], ADAPTERS), model, None, header["base"])
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ModelFileError(f"{path}: tensors contradict the header: {error}") from error
    if model.adapter is None:
        model.requires_grad_(True)
    for name, module in model.named_modules():
        if isinstance(module, ProjectionModule):
            try:
                module.check_indices()
            except ValueError as error:
                raise ModelFileError(f"{path}: {name}.{error}") from error
    return model


def head(path: Path) -> Tensor:
    """The head's weight in a model's file, on the CPU: the embedding's where they are one. Raises ModelFileError for a
    file that holds neither.
    """
    try:
        with safe_open(path, framework="pt") as file:
            own = "lm_head.weight" in file.keys()
            return file.get_tensor("lm_head.weight" if own else "embed_tokens.weight")
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path}: no head in it: {error}") from error
