"""What one loss of a training is of, held against its rows and its weights before anything runs.

A loss of tokens is weighted by row, document or group of pieces, as `reweight` says; a loss of groups by group alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.batch_objective import BatchObjective
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
    _check_whole_batches(node)
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


def _check_whole_batches(node: TrainingSettings) -> None:
    """Raise RecipeError for a loss over the whole batch beside what knows a part of it alone, and for numbers of an
    objective in shards.
    """
    for objective, collate in node.in_turn:
        whole = isinstance(objective, BatchObjective)
        if whole == collate.predicts:
            raise RecipeError(
                "pretrain.collate", f"{type(collate).__name__} for {type(objective).__name__}",
                "whole_texts" if whole else "a collator that asks for tokens",
                "whole_texts goes with a loss of vectors, such as contrastive, and with no other",
            )  # fmt: skip
        if whole and node.reweight is not None:
            raise RecipeError(
                "pretrain.reweight", f"weights, for {type(objective).__name__}, a loss over the whole batch", "none"
            )
        if node.shard > 1 and (whole or objective.owns):
            what = "a loss over the whole batch" if whole else "which learns numbers of its own"
            raise RecipeError(
                "pretrain.shard",
                f"{node.shard} for {type(objective).__name__}, {what}",
                "1: a whole copy in each process",
            )
        if (most := max(getattr(objective, "dims", ()), default=0)) > node.model.shape.hidden:
            raise RecipeError(
                "pretrain.objective", f"dims up to {most} of vectors of {node.model.shape.hidden}", "fewer numbers"
            )
    if node.dropout and node.compile == "on":
        raise RecipeError(
            "pretrain.compile", "on, with dropout, whose draws torch does not compile", "off", "compile: off"
        )


def _said(objective: Objective) -> str:
    return f"{type(objective).__name__}, a loss of groups of pieces"
