"""The record of a training: what every step has come to. It is kept in checkpoints and published as `steps.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RECORD = (
    "loss",  # plain mean cross-entropy of the batch's labels [nats]
    "objective",  # the weighted loss that was minimised [nats]
    "tokens",  # labels in the batch
    "effective",  # effective samples / samples
    "weight_max",  # largest and smallest weight, 1 = uniform
    "weight_min",
    "learning_rate",
    "gradient_norm",  # before clipping
    "spike",  # 1 where the loss is far above those before it (`stages.training.unusual`)
    "skipped",  # 1 where the update was left out
)
ROLE = "loss_"  # and a role of pieces: the plain mean cross-entropy of what is learned of them, NaN where there is none
MASS = "weight_mass_"  # and the place of a source in the mixture: the share of the weights that its rows have


class Record(dict[str, list[float]]):
    """Name -> its value of every step so far; the names are those of `RECORD`, a loss for each role that
    an objective tells of, and a mass for each source.
    """

    @classmethod
    def of(cls, sources: int, roles: Sequence[str] = ()) -> Record:
        """An empty record."""
        more = (*(f"{ROLE}{role}" for role in roles), *(f"{MASS}{place}" for place in range(sources)))
        return cls({name: [] for name in (*RECORD, *more)})

    def add(self, values: Sequence[float]) -> None:
        """Append a step; values in the order of the names."""
        for name, value in zip(self, values, strict=True):
            self[name].append(value)

    def copied(self) -> dict[str, list[float]]:
        """The steps so far, to be written while the run goes on."""
        return {name: list(values) for name, values in self.items()}

    def line(self, step: int) -> dict[str, Any]:
        """What the log says of a step (`stages.training.step_log`): these values, the masses as one list."""
        scalars = {name: values[step] for name, values in self.items() if not name.startswith(MASS)}
        masses = [values[step] for name, values in self.items() if name.startswith(MASS)]
        return {"step": step, **scalars, "weight_mass": masses}
