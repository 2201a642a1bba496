"""The learning rate as a pure function of (step, steps): nothing to save, nothing to resume.

Sources: cosine, Loshchilov and Hutter 2017; warm-up, stable, decay, Hu et al. 2024 (arXiv 2404.06395).
"""

from __future__ import annotations

import math

from models.optim_config import WSD, Constant, Cosine, LearningRateSchedule, Linear


def learning_rate_factor(schedule: LearningRateSchedule, step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` of 0..steps-1, a Python float in [0, 1].

    A Python float, as a numpy one would end up in the optimiser's state and in checkpoints. The first step of
    a warm-up is not zero, and the last step of a decay lies one step above `final`: no step is wasted.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step: found {step}, expected 0 to {steps - 1}")
    warm = round(schedule.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    if isinstance(schedule, Constant):
        return 1.0
    start = steps - round(schedule.decay * steps) if isinstance(schedule, WSD) else warm
    done = max(0, step - start) / max(1, steps - start)
    match schedule:
        case Cosine():
            left = 0.5 * (1.0 + math.cos(math.pi * done))
        case Linear() | WSD():
            left = 1.0 - done
    return schedule.final + (1.0 - schedule.final) * left
