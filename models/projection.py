"""What the projections have in common that are no plain dense matrix."""

from __future__ import annotations

from torch import Tensor, nn


class NotMergeable(ValueError):
    """An activation stands between the factors, so no dense matrix computes the same function."""


class ProjectionModule(nn.Module):
    """A map `[..., in] -> [..., out]` without bias, the product or sum of several tensors. All of its parameters
    decay, also vectors.
    """

    in_width: int
    out_width: int
    maps: tuple[str, ...] = ("A", "B")  # parameters that are whole linear maps, `[into, from]`

    def merge(self) -> Tensor:
        """The dense weight `[out, in]` that computes the same, detached; raises NotMergeable."""
        raise NotImplementedError

    def learning_rate_factors(self) -> dict[str, float]:
        """Factor of the learning rate of each parameter that has one of its own."""
        return {}

    def check_indices(self) -> None:
        """Raises ValueError unless every integer buffer holds ascending places within its range."""


def check_ascending(name: str, places: Tensor, limit: int) -> None:
    """Raises ValueError unless the places are int64, ascending, unique and below the limit."""
    import torch

    ascending = bool((places.diff() > 0).all())
    if (
        places.dtype != torch.int64
        or not ascending
        or (len(places) and not 0 <= int(places[0]) <= int(places[-1]) < limit)
    ):
        raise ValueError(f"{name}: expected ascending int64 numbers below {limit}")
