"""Whether a trained model can start another one, from their configurations alone; `models.transfer` does it.

Torch is not loaded: a plan asks before anything runs.
"""

from __future__ import annotations

from models.adapter import Adapter
from models.presets import Llama


def no_plain(adapter: Adapter, config: Llama) -> tuple[str, str]:
    """Why a model with an adapter is no plain one: what was found, and what could be."""
    return (
        f"a {type(config).__name__} with {type(adapter).__name__}, whose output no plain model gives",
        "an adapter that merges, of a model that has an equal dense one",
    )


def no_way(trained: Llama, wanted: Llama) -> tuple[str, str] | None:
    """Why a model of one configuration cannot start one of another: what was found, and what could. None: it can.

    Of the same configuration all tensors are taken over. Another kind starts from the equal dense matrices.
    """
    for name in ("shape", "rope_theta", "norm_eps"):
        found, expected = getattr(trained, name), getattr(wanted, name)
        if found != expected:
            return f"a model of {_said(found, name)}", f"one of {_said(expected, name)}, as the model to train"
    if trained == wanted:
        return None
    if wanted.tied and not trained.tied:
        return "a model with a head of its own", "one whose head is its embedding, or tied: false"
    if not trained.merges:
        kind = type(trained).__name__
        return (
            f"a {kind} with an activation between its factors, which no matrix equals",
            f"a model that has an equal dense one, or the same {kind} to train",
        )
    if not wanted.takes_weights:
        kind = type(wanted).__name__
        return f"a {type(trained).__name__} to start a {kind}, which has no rule for a start from trained weights", (
            f"the same {kind}, or a kind that takes weights to train"
        )
    return None


def _said(value: object, name: str) -> str:
    if name != "shape":
        return f"{name} {value}"
    return ", ".join(f"{part} {number}" for part, number in value._asdict().items())  # type: ignore[attr-defined]
