"""What one loss of a training is of, held against its rows and its weights before anything runs.

A loss of tokens is weighted by row, document or group of pieces, as `reweight` says; a loss of groups by group alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.sample_objective import SampleObjective
from pipeline.errors import RecipeError

if TYPE_CHECKING:
    from models.objective import Objective
    from stages.training.settings import TrainingSettings

PACK = "pack_samples, whose rows say which pieces belong together"


def check_units(node: TrainingSettings, packs: Sequence[Any]) -> None:
    """Raise RecipeError for a loss or weights of groups over rows without groups, and for parts that disagree on what a
    sample is. `packs`: the nodes of packed rows, none with `feed`.
    """
    of_groups = [one for one in node.objectives if isinstance(one, SampleObjective)]
    if of_groups and getattr(node.reweight, "unit", "group") != "group":
        raise RecipeError(
            "pretrain.reweight", f"weights of a {node.reweight.unit}, for {_said(of_groups[0])}",  # type: ignore[union-attr]
            "weights of groups", "reweight with unit: group",
        )  # fmt: skip
    if node.unit != "group":
        return
    asked = _said(of_groups[0]) if of_groups else "weights of groups"
    if node.feed is not None:
        raise RecipeError("pretrain.feed", f"a stream, for {asked}", PACK)
    for pack in packs:
        if not pack.samples:
            raise RecipeError("pretrain.rows", f"rows of {pack.kind()}, for {asked}", PACK)
        for one in of_groups:
            if pack.sample.roles != one.roles:
                raise RecipeError(
                    "pretrain.rows", f"samples of {', '.join(pack.sample.roles)}, for {_said(one)}",
                    f"samples of {', '.join(one.roles)}",
                )  # fmt: skip
    if of_groups and "row" in {node.attend, *(stage.attend for stage in node.schedule)}:
        raise RecipeError(
            "pretrain.attend", f"row, for {_said(of_groups[0])}: one answer would see the other", "attend: document"
        )


def _said(objective: Objective) -> str:
    return f"{type(objective).__name__}, a loss of groups of pieces"
