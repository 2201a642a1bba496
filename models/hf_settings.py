"""The `config.json` of a dense Llama as a configuration of ours; loads no torch, so that a plan can read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.presets import Llama
from models.strange_files import StrangeFile, check_numbers, shown

SETTINGS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "vocab_size",
    "max_position_embeddings", "eos_token_id",
)  # fmt: skip
# least and most of the sizes of any model, far beyond those of real ones
BOUNDS = {
    "num_hidden_layers": (1, 10_000), "hidden_size": (1, 1 << 20), "intermediate_size": (1, 1 << 24),
    "vocab_size": (1, 1 << 24), "num_attention_heads": (1, 1 << 16), "num_key_value_heads": (1, 1 << 16),
    "head_dim": (1, 1 << 16), "max_position_embeddings": (1, 1 << 28), "num_local_experts": (0, 1 << 14),
    "num_experts": (0, 1 << 14), "n_layer": (1, 10_000), "num_layers": (1, 10_000), "n_embd": (1, 1 << 20),
    "d_model": (1, 1 << 20), "n_positions": (1, 1 << 28), "type_vocab_size": (0, 1 << 20),
}  # fmt: skip
NUMBERS = ("rope_theta", "rms_norm_eps", "layer_norm_eps", "initializer_range")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise StrangeFile for a size, a flag or a number of a `config.json` that no model has."""
    check_numbers(settings, BOUNDS)
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise StrangeFile("config.json", f"rope_parameters {shown(rope)}", "a mapping")
    for key, value in ((key, given[key]) for given in (settings, rope) for key in NUMBERS if key in given):
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e30
        if value is not None and not fits:
            raise StrangeFile("config.json", f"{key} {shown(value)}", "a number from 0 to 1e30")
    for key in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
        if settings.get(key) is not None and not isinstance(settings[key], bool):
            raise StrangeFile("config.json", f"{key} {shown(settings[key])}", "true or false")
    heads, groups, hidden = (settings.get(k) for k in ("num_attention_heads", "num_key_value_heads", "hidden_size"))
    if heads and settings.get("head_dim") is None and (hidden or 0) % heads:
        raise StrangeFile("config.json", f"num_attention_heads {heads} of hidden_size {hidden}", "a divisor of it")
    if heads and groups and heads % groups:
        raise StrangeFile("config.json", f"num_key_value_heads {groups}", f"a divisor of {heads} heads")


def llama_of(settings: Mapping[str, Any]) -> Llama:
    """The configuration. Raises ValueError for a model that is no Llama of ours, or settings that are not there."""
    if missing := [name for name in SETTINGS if settings.get(name) is None]:
        raise ValueError(f"in config.json, no {missing[0]}")
    check_settings(settings)
    config = Llama(
        "1m",
        hidden=settings["hidden_size"],
        inter=settings["intermediate_size"],
        layers=settings["num_hidden_layers"],
        heads=settings["num_attention_heads"],
        kv_heads=settings.get("num_key_value_heads"),
        tied=bool(settings.get("tie_word_embeddings")),
        norm_eps=settings["rms_norm_eps"],
        rope_theta=_theta(settings),
    )
    check(settings, config)
    return config


def check(settings: Mapping[str, Any], config: Llama) -> None:
    """Raise ValueError when the settings are not those of the configuration, or name what this Llama has not: heads of
    another width, biases, scaled rotary positions.
    """
    shape, scaling = config.shape, settings.get("rope_scaling") or settings.get("rope_parameters") or {}
    wanted = {
        "hidden_size": (settings.get("hidden_size"), shape.hidden),
        "intermediate_size": (settings.get("intermediate_size"), shape.inter),
        "num_hidden_layers": (settings.get("num_hidden_layers"), shape.layers),
        "num_attention_heads": (settings.get("num_attention_heads"), shape.heads),
        "num_key_value_heads": (settings.get("num_key_value_heads") or shape.heads, shape.kv_heads),
        "head_dim": (settings.get("head_dim") or shape.head_width, shape.head_width),
        "tie_word_embeddings": (bool(settings.get("tie_word_embeddings")), config.tied),
        "attention_bias": (bool(settings.get("attention_bias")), False),
        "mlp_bias": (bool(settings.get("mlp_bias")), False),
        "rms_norm_eps": (settings.get("rms_norm_eps"), config.norm_eps),
        "rope_theta": (scaling.get("rope_theta", settings.get("rope_theta", 10_000.0)), config.rope_theta),
        "rope_type": (scaling.get("rope_type", scaling.get("type", "default")), "default"),
    }
    if wrong := [f"{key}: found {found}, expected {want}" for key, (found, want) in wanted.items() if found != want]:
        raise ValueError("config.json: " + "; ".join(wrong))


def _theta(settings: Mapping[str, Any]) -> float:
    return (settings.get("rope_parameters") or {}).get("rope_theta", settings.get("rope_theta", 10_000.0))
