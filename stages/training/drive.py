"""The driver's part of a training: start it, follow it, pass a request to stop on to it, and say why it ended."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial
from typing import Any

from pipeline.contract import Context
from pipeline.errors import Stopped
from stages.training.checkpoint import ERROR, RESULT, STOP, Saver
from stages.training.job import Job
from stages.training.metrics import Metrics, following
from stages.training.mixture import check_reference
from stages.training.ray_trainer import Watch, fit
from stages.training.results import describe_job, documents_of


def finished(
    ctx: Context, job: Job, label: str, *, workers: int | tuple[int, int], max_failures: int, metrics: Sequence[Metrics]
) -> tuple[Saver, dict[str, Any]]:
    """Train, or go on, to the end: where the result lies, and its JSON values.

    Raises DataError for rows without a reference, the error that ended the run, and Stopped after a request to stop.
    """
    check_reference(job)
    files, name = Saver(job.scratch), f"train-{ctx.fingerprint()[:12]}"
    with following(metrics, job.scratch, name, describe_job(job, label), ctx.log, partial(documents_of, job)):
        if not files.scratch.exists(RESULT):
            for old in (STOP, ERROR):
                files.scratch.remove(old)
            with Watch(files, ctx.stopping, lambda values: ctx.log("training", **values)):
                try:
                    fit(job, name, workers, max_failures)
                except Exception:
                    # a process that left its reason says more than the trace of the group that it ended
                    if (error := files.error()) is not None:
                        raise error from None
                    raise
    if (error := files.error()) is not None:
        raise error
    if (result := files.result()) is None:
        raise Stopped(signal.SIGTERM)
    ctx.log("trained", **result["resources"])
    return files, result
