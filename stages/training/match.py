"""Controls of equal size or work: the rank that gives a model as many parameters, or operations, as another run's.

The rank is found when the node is built, and the node then holds a model with that rank and no match. So its identity
is that of the same model written by hand, and it does not wait for the other run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from models.accounting import count_flops, count_parameters, rank_for_flops, rank_for_parameters
from models.fields import Typed
from models.presets import Llama
from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.wants import TrainedNode


@dataclass(frozen=True, kw_only=True)
class ParametersOf(metaclass=Typed):
    """As many parameters in the projections as the model of a run, from below.

    - `run`: the other training
    """

    run: TrainedNode = field(kw_only=False)

    def solve(self, model: Llama) -> Llama:
        """The model with the rank that fits; the rank that it came with is not used. Raises RecipeError."""
        goal = count_parameters(model_of(self.run), 1).projections
        return _with_rank(model, rank_for_parameters, goal, f"{goal:,} parameters in the projections")


@dataclass(frozen=True, kw_only=True)
class FlopsOf(metaclass=Typed):
    """As many operations per token in the projections as the model of a run, from below.

    - `run`: the other training
    """

    run: TrainedNode = field(kw_only=False)

    def solve(self, model: Llama) -> Llama:
        """The model with the rank that fits; the rank that it came with is not used. Raises RecipeError."""
        goal = count_flops(model_of(self.run), 1, 1).projections
        return _with_rank(model, rank_for_flops, goal, f"{goal:,} operations per token in the projections")


Match = ParametersOf | FlopsOf


def model_of(run: Node) -> Llama:
    """The model that a training trains."""
    model = getattr(run, "model", None)
    if not isinstance(model, Llama):
        raise RecipeError("pretrain.match", f"a {run.kind()}", "a pretrain node, whose model is to be matched")
    return model


def _with_rank(model: Llama, solve: Callable[[Llama, int], int], goal: int, goal_text: str) -> Llama:
    if not hasattr(model, "rank"):
        raise RecipeError("pretrain.match", f"a {type(model).__name__}, which has no rank", "low_rank, lost or sltrain")
    if not (rank := solve(model, goal)):
        raise RecipeError(
            "pretrain.match", f"{type(model).__name__} of rank 1 above {goal_text}", "a model that can be smaller",
            "lower its density, or match a larger run",
        )  # fmt: skip
    return dataclasses.replace(model, **{"rank": rank})
