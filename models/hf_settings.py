"""The `config.json` of a dense Llama as a configuration of ours; loads no torch, so that a plan can read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.presets import Llama

SETTINGS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "vocab_size",
    "max_position_embeddings", "eos_token_id",
)  # fmt: skip


def llama_of(settings: Mapping[str, Any]) -> Llama:
    """The configuration. Raises ValueError for a model that is no Llama of ours, or settings that are not there."""
    if missing := [name for name in SETTINGS if settings.get(name) is None]:
        raise ValueError(f"in config.json, no {missing[0]}")
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
