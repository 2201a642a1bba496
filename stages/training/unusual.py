"""Steps that stand out: a loss far above those before it, and an update that was left out. With them the rows of the
batch that were hardest, from which `PackedRows.documents` leads to documents.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from pipeline.errors import DataError

WINDOW, LEAST = 64, 16  # steps before a step that it is compared with, and how many there must be
DEVIATIONS, SHARE = 6.0, 0.05  # a spike is so many deviations, and such a share of the loss, above their median
HARDEST = 8  # rows that are named
IN_A_ROW = 20  # updates that may be left out one after another


def expected_loss(before: Sequence[float], loss: float) -> float | None:
    """The median of the losses before, when this one is a spike over it; None when it is not.

    A deviation is the median distance from the median, scaled to that of a normal law.
    """
    near = [value for value in before[-WINDOW:] if math.isfinite(value)]
    if len(near) < LEAST or not math.isfinite(loss):
        return None
    middle = statistics.median(near)
    deviation = 1.4826 * statistics.median(abs(value - middle) for value in near)
    return middle if loss > middle + max(DEVIATIONS * deviation, SHARE * abs(middle)) else None


def describe(step: int, loss: float, expected: float | None, rows: Sequence[int], losses: Sequence[float]) -> dict:
    """An unusual step. `rows`, `losses`: of the samples of the batch, in its order; what is not finite is hardest."""
    order = sorted(range(len(rows)), key=lambda at: -losses[at] if math.isfinite(losses[at]) else -math.inf)
    hardest = list(dict.fromkeys(int(rows[at]) for at in order))[:HARDEST]
    return {
        "step": step,
        "loss": loss if math.isfinite(loss) else None,
        "expected": expected,
        "hardest": hardest,
        "rows": list(dict.fromkeys(map(int, rows))),
    }


def not_finite(step: int, loss: float, norm: float, unusual: dict[str, Any]) -> DataError:
    """The error of a step whose numbers are not finite."""
    rows = ", ".join(map(str, unusual["hardest"]))
    return DataError(
        f"pretrain, step {step}",
        f"loss {loss}, gradient norm {norm}; the hardest rows of its batch are {rows}",
        "finite numbers",
        "lower optimizer.lr or set optimizer.clip; on_nan: skip leaves single steps out",
    )


def no_weight(step: int, rows: Sequence[float], *, labels: bool) -> DataError:
    """The error of a batch that nothing can be learned from; `labels`: it has some, so their weights are 0."""
    named = ", ".join(str(int(row)) for row in dict.fromkeys(rows[:HARDEST]))
    found = "all weights are 0" if labels else "no place has anything to predict"
    expected = "a log_prior above -inf in some row" if labels else "a batch with labels"
    return DataError(f"pretrain, step {step}", f"rows {named} and the others of the batch: {found}", expected)
