"""To and from Hugging Face folders: `config.json` and `model.safetensors`, written without transformers.

A model that merges becomes a plain Llama, or, where it was trained to see both sides, an equal EuroBERT (Boizard et al.
2025, arXiv 2503.05500): the same network without a causal mask. One with an activation between its factors has no equal
dense model: it leaves as its factors, with a modelling file beside them that `trust_remote_code=True` loads
(`models/hf`). Leaves out the tokenizer and the folder's card, which are the caller's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor

from models.accounting import projections
from models.hf_settings import check
from models.llama import LlamaModel
from models.lost import LostLinear
from models.presets import Llama
from models.projection import NotMergeable, ProjectionModule
from models.strange_files import json_of
from models.tensor_files import save_tensors

MODELLING_FILE = "modeling_siftloom_lost.py"
Form = Literal["dense", "factors", "bidirectional"]


def export(
    model: LlamaModel,
    folder: Path,
    *,
    form: Literal["auto", "dense", "factors", "bidirectional"] = "auto",
    dtype: torch.dtype = torch.float32,
    special_ids: Mapping[str, int] | None = None,
) -> Form:
    """Write the folder (it must exist) and return the form written; "auto" is dense wherever that is exact.

    "bidirectional" is dense too, for `AutoModelForMaskedLM`. `special_ids`: any of `bos_token_id`, `eos_token_id`,
    `pad_token_id`, `mask_token_id`. Raises NotMergeable when a dense form is asked of a model that has no dense equal,
    and ValueError when "factors" is asked of one that has no factors.
    """
    if form in ("dense", "bidirectional") and not model.config.merges:
        raise NotMergeable(
            f"form: found {form!r} for a model with an activation between its factors, which no dense "
            "Llama equals; expected 'factors' (or 'auto'), a folder with its own modelling file"
        )
    if form == "factors" and not model.config.factored:
        raise ValueError("form: found 'factors' for a model without LOST or low-rank layers, expected 'dense'")
    written: Form = "factors" if form == "factors" or not model.config.merges else "dense"
    settings = llama_settings(model, dtype, special_ids or {})
    if form == "bidirectional":
        written = form
        settings |= {"architectures": ["EuroBertForMaskedLM"], "model_type": "eurobert"}
    if written == "factors":
        settings |= factor_settings(model)
        shutil.copyfile(Path(__file__).parent / "hf" / MODELLING_FILE, folder / MODELLING_FILE)
    tensors = factor_tensors(model) if written == "factors" else dense_tensors(model)
    cast = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in tensors.items()
    }
    save_tensors(cast, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return written


def dense_tensors(model: LlamaModel) -> dict[str, Tensor]:
    """Tensors of an equal dense Llama under Hugging Face's names; raises NotMergeable."""
    tensors: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, ProjectionModule):
            tensors[foreign(f"{name}.weight")] = module.merge()
        else:
            for part, parameter in module.named_parameters(recurse=False):
                tensors[foreign(f"{name}.{part}")] = parameter.detach()
    return tensors


def factor_tensors(model: LlamaModel) -> dict[str, Tensor]:
    """All tensors as they are, gamma folded in, under the names of the modelling file."""
    return {foreign(name): tensor for name, tensor in model.state_dict().items()}


def foreign(name: str) -> str:
    """Hugging Face's name of a tensor: all but the head lie under `model.`."""
    return name if name.startswith("lm_head.") else f"model.{name}"


def llama_settings(model: LlamaModel, dtype: torch.dtype, special_ids: Mapping[str, int]) -> dict[str, Any]:
    """`config.json` of a Llama. Both spellings of the rotary base and of the dtype: transformers 4 and 5
    differ.
    """
    config, shape = model.config, model.config.shape
    dtype_name = str(dtype).removeprefix("torch.")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inter,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": model.max_length,
        "initializer_range": config.init_std,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied,
        "torch_dtype": dtype_name,
        "dtype": dtype_name,
        "bos_token_id": special_ids.get("bos_token_id"),
        "eos_token_id": special_ids.get("eos_token_id"),
        "pad_token_id": special_ids.get("pad_token_id"),
        **({"mask_token_id": special_ids["mask_token_id"]} if "mask_token_id" in special_ids else {}),
    }


def factor_settings(model: LlamaModel) -> dict[str, Any]:
    """What `config.json` of a factored folder says beyond a Llama's."""
    layers = {name: module for name, module in model.layers[0].named_modules() if isinstance(module, LostLinear)}
    first = next(iter(layers.values()))
    stem = MODELLING_FILE.removesuffix(".py")
    return {
        "architectures": ["SiftloomLostForCausalLM"],
        "model_type": "siftloom_lost",
        "auto_map": {
            "AutoConfig": f"{stem}.SiftloomLostConfig",
            "AutoModelForCausalLM": f"{stem}.SiftloomLostForCausalLM",
        },
        "lost": {
            "rank": first.rank,
            "activation": first.activation,
            "gamma_folded": first.gamma,
            "kept": {name: layer.kept for name, layer in layers.items()},
        },
    }


def read_dense(folder: Path, config: Llama) -> dict[str, Tensor]:
    """Weights of a Hugging Face Llama folder under this package's names, for `build(..., dense=...)`.

    Reads one or several safetensors files. Raises ValueError when the folder's shape is not that of `config`,
    or when it has what this Llama has not: heads of another width, biases, scaled rotary positions, other tensors.
    """
    check(json_of(folder / "config.json"), config)
    shape = config.shape
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                tensors[name.removeprefix("model.")] = found = file.get_tensor(name)
                if not found.is_floating_point():
                    raise ValueError(f"{path.name}: {name} of {found.dtype}, expected numbers with a point")
                if not bool(found.isfinite().all()):
                    raise ValueError(f"{path.name}: {name} holds NaN or infinite values")
    if config.tied:
        tensors.pop("lm_head.weight", None)  # some folders hold the one tensor twice
    known = {"embed_tokens.weight", "norm.weight", "lm_head.weight"}
    for layer in range(shape.layers):
        names = (*(one.name for one in projections(shape)), "input_layernorm", "post_attention_layernorm")
        known |= {f"layers.{layer}.{name}.weight" for name in names}
    # old folders hold the rotary frequencies, which follow from the settings
    if strange := sorted(name for name in tensors.keys() - known if not name.endswith("rotary_emb.inv_freq")):
        raise ValueError(f"{folder}: found {len(strange)} tensors that no such Llama has, the first {strange[0]}")
    return {name: tensors[name] for name in tensors.keys() & known}
