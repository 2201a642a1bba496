"""Stages of a training: what holds until which share of its steps. Pure functions of the step, so nothing to resume."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from models.fields import Typed
from models.objective import Objective
from stages.training.collate import Collator


@dataclass(frozen=True, kw_only=True)
class Stage(metaclass=Typed):
    """Part of a run. A field that is null is that of the run itself.

    until      share of the run's steps at which it ends, above that of the stage before; 1.0 for the last one
    objective  the loss
    collate    the model's input and targets
    attend     "document" or "row"
    """

    until: float
    objective: Objective | None = None
    collate: Collator | None = None
    attend: Literal["row", "document"] | None = None


def check_stages(stages: tuple[Stage, ...]) -> tuple[str, str] | None:
    """What is wrong with a list of stages and what was expected, or None."""
    ends = [stage.until for stage in stages]
    if any(not 0.0 < end <= 1.0 for end in ends) or any(b <= a for a, b in pairwise(ends)):
        return f"stages that end at {', '.join(map(str, ends))}", "rising shares of the run, above 0"
    if ends and ends[-1] != 1.0:
        return f"a last stage that ends at {ends[-1]}", "1.0"
    return None


def stage_at(stages: tuple[Stage, ...], step: int, steps: int) -> Stage:
    """The stage of a step of 0..steps-1; the first step at or after a stage's end belongs to the next one."""
    for stage in stages:
        if step < round(stage.until * steps):
            return stage
    return stages[-1] if stages else Stage(until=1.0)


def last_collator(collate: Collator, stages: tuple[Stage, ...]) -> Collator:
    """The collator that a run ends with."""
    return (stages[-1].collate if stages else None) or collate
