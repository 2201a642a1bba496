"""The driver's part of a training: start it, follow it, pass a request to stop on to it, and say why it ended."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any, Protocol

from pipeline.contract import Context
from pipeline.errors import Stopped
from stages.training import deaths
from stages.training.checkpoint import ERROR, RESULT, STOP, Saver
from stages.training.job import Job
from stages.training.metrics import Metrics, following
from stages.training.mixture import check_priors, check_reference
from stages.training.ray_trainer import Watch, fit
from stages.training.results import describe_job, documents_of
from stages.training.stream_rows import Packer


class Runtime(Protocol):
    """What of a node decides no bit."""

    @property
    def workers(self) -> int | tuple[int, int]: ...
    @property
    def max_failures(self) -> int: ...
    @property
    def metrics(self) -> tuple[Metrics, ...]: ...


def finished(
    ctx: Context, job: Job, label: str, runtime: Runtime, maker: Packer | None = None
) -> tuple[Saver, dict[str, Any]]:
    """Train, or go on, to the end: where the result lies, and its JSON values. `maker` makes the rows of a stream.

    Raises DataError for rows without a reference or with a weight that is no number, the error that ended the run, and
    Stopped after a request to stop.
    """
    check_reference(job)
    check_priors(job)
    files, name = Saver(job.scratch), f"train-{ctx.fingerprint()[:12]}"
    with following(runtime.metrics, job.scratch, name, describe_job(job, label), ctx.log, partial(documents_of, job)):
        if not files.scratch.exists(RESULT):
            for old in (STOP, ERROR):
                files.scratch.remove(old)
            deaths.forget(files.scratch)
            with Watch(files, ctx.stopping, lambda values: ctx.log("training", **values)):
                try:
                    fit(job, name, runtime.workers, runtime.max_failures, maker)
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
