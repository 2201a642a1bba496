"""Trackers of experiments that a training can be followed with: Weights & Biases, and MLflow.

Both find their server, their account and their folder where they always do (`WANDB_*`, `~/.netrc`; `MLFLOW_*`), in the
environment of the driver. A training keeps its run there when it goes on: W&B's by its id, MLflow's by a tag.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from pipeline.errors import MissingExtra, UserError
from pipeline.safe_text import quoted

PROJECT = "siftloom"
TAG = "siftloom.training"
MOST = 1000  # numbers that MLflow takes in one request


class WandB:
    """A run of W&B; steps that it holds are not sent again. Offline, each start makes a folder of its own that holds
    all steps, so the newest one is synchronised.
    """

    name = "wandb"

    def __init__(self, run: str, about: Mapping[str, Any]) -> None:
        import wandb

        settings = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run,
            name=os.environ.get("WANDB_NAME", str(about.get("label", run))),
            config=dict(about),
            resume="allow",
            settings=settings,
        )
        self.first = self._run.step

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def flush(self) -> None: ...

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow, found again by its tag; the last step that it holds is asked for."""

    name = "mlflow"

    def __init__(self, run: str, about: Mapping[str, Any]) -> None:
        from mlflow.tracking import MlflowClient

        os.environ.setdefault("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")  # it would take the account and all figures along
        self._client, self._waiting = MlflowClient(), []
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        found = self._client.search_runs([experiment], f"tags.`{TAG}` = '{run}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            steps = [metric.step for metric in self._client.get_metric_history(self._run, "tokens")]
            self.first = max(steps, default=-1) + 1
            self._client.update_run(self._run, status="RUNNING")
            return
        self.first = 0
        label = str(about.get("label", run))
        self._run = self._client.create_run(experiment, tags={TAG: run}, run_name=label).info.run_id
        for name, value in about.items():
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            self._client.log_param(self._run, name, text[:500])

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return self._client.create_experiment(name) if found is None else found.experiment_id

    def add(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        if len(self._waiting) >= MOST - len(values):
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._client.log_batch(self._run, waiting)

    def close(self) -> None:
        self._client.set_terminated(self._run)


TRACKERS: dict[str, tuple[Any, str]] = {
    "wandb": (WandB, "wandb login, or WANDB_MODE=offline"),
    "mlflow": (MLflow, "MLFLOW_TRACKING_URI=http://... of a server"),
}


def open_tracker(name: str, run: str, about: Mapping[str, Any]) -> WandB | MLflow:
    """A tracker of `TRACKERS`; raises MissingExtra or UserError."""
    tracker, then = TRACKERS[name]
    try:
        return tracker(run, about)
    except ImportError as error:
        place, command = f"pretrain.metrics: {name}", f"pip install 'siftloom[{name}]'"
        raise MissingExtra(place, f"no module {error.name}", f"the extra {name}", command) from None
    except Exception as error:  # each library has a tree of errors of its own
        found = f"{type(error).__name__}: {quoted(str(error))}"
        raise UserError(f"pretrain.metrics: {name}", found, "a tracker that takes a run", then) from None
