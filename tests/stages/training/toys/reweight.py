"""Weights from outside: f = h^3, flat in the middle."""

from dataclasses import dataclass

from models.reweight_config import LossShaped


@dataclass(frozen=True, kw_only=True)
class Cubic(LossShaped):
    def shape(self, h_m):
        return h_m**3
