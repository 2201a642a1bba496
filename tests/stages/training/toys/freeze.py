"""A freeze policy from outside: every other block stays as it is, which of the two is a keyed draw."""

import hashlib
from dataclasses import dataclass

from models.freeze import Freeze


@dataclass(frozen=True, kw_only=True)
class EveryOther(Freeze):
    def frozen(self, model, seed):
        odd = hashlib.sha256(f"every other/{seed}".encode()).digest()[0] % 2
        return [
            name
            for name, _ in model.named_parameters()
            if name.startswith("layers.") and int(name.split(".")[1]) % 2 == odd
        ]
