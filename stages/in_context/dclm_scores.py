"""CORE and EXTENDED from the scores of the tasks, in the form of DCLM's reference files (`exp_data/evals/*.json`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stages.in_context.dclm_tasks import BASELINES, CORE, EXTENDED


def reference(scores: Mapping[str, float]) -> dict[str, Any]:
    """What DCLM's `eval/aggregated_metrics.py` writes for these accuracies, but for its own intermediate sets.

    As there, `Core` and `Extended` are texts that name the missing tasks where one is missing;
    `low_variance_datasets_centered` and `aggregated_centered_results` are means of those that are there.
    """
    missing = [task.name for task in EXTENDED if task.name not in scores]
    centered = {task.name: task.centered(scores[task.name]) for task in EXTENDED if task.name in scores}
    kinds = sorted({task.category for task in EXTENDED if task.name in centered})
    values: dict[str, Any] = {
        "eval_metrics": {"icl": dict(scores)},
        "eval_version": BASELINES,
        "missing tasks": str(missing),
        "aggregated_task_categories_centered": {
            kind: mean(centered[task.name] for task in EXTENDED if task.category == kind and task.name in centered)
            for kind in kinds
        },
        "aggregated_results": mean(scores[name] for name in centered),
        "aggregated_centered_results": mean(centered.values()),
        "low_variance_datasets": mean(scores[name] for name in centered if name in CORE),
        "low_variance_datasets_centered": mean(centered[name] for name in centered if name in CORE),
    }
    sets = {"Core": ("low_variance_datasets_centered", CORE), "Extended": ("aggregated_centered_results", None)}
    for name, (found, of) in sets.items():
        gone = [task.name for task in EXTENDED if task.name in missing and (of is None or task.name in of)]
        values[name] = f"N/A due to missing tasks: {gone}" if gone else values[found]
        values[f"{name}_{BASELINES}"] = values[name]
    return values


def mean(values: Iterable[float]) -> float | None:
    """The mean, or None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None
