"""The training loop of one process: plain torch, the same under Ray Train, under `torchrun`, or alone.

A step: rows of the global batch -> token losses -> loss of every row -> raw weights g (`models.reweight`)
-> gradient of `sum g_i loss_i` over micro-batches and processes (`stages.training.parallel`) -> one
division by Z, the sum of all g -> clip -> the optimiser. So the loss is a sum all the way, with one division by a
global total; uniform weights are g = tokens, the token mean.

The weights are those of a softmax over the whole global batch, on all processes and micro-batches, in both
forms: `scope="global_lagged"` scales losses by running bounds of earlier steps, so a sample's g is known as soon as
its loss is, and Z makes the sum exact; `scope="global_exact"` takes the bounds of the same batch (Sow et al.
2025) by a forward pass without gradients before the real one. Losses, tokens and g are gathered once a
step, in the order of the batch, in fp64.

A loss over the whole batch has two passes of its own (`stages.training.whole_batch`).

A step whose loss or gradient is not finite ends the run, or is left out (`on_nan`); both leave the weights whole.

What is minimised, what the model is shown and which rows it sees are the training's slots (`models.objective`,
`stages.training.collate`, `stages.training.order`); rows are weighted by the score, the plain cross-entropy, whatever
is minimised.

Everything random derives from the seed and the step, so a checkpoint holds weights, moments, the bounds,
the step and the record of the steps so far; a resumed run drops what the dead one recorded later. The same
bits follow after any kill, and with whole copies of the weights for any number of processes, given the
threads, the library versions and the CPU type.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import torch

from models.batch import Batch
from models.batch_objective import BatchObjective
from models.channels import check_channels
from models.files import save
from models.objective import PieceValues, SampleLosses, TokenLosses
from models.optim import clip_gradients, set_learning_rate, trained
from models.reweight import (
    Bounds,
    batch_bounds,
    inverse_temperature,
    micro_weights,
    next_bounds,
    raw_weights,
    spread,
)
from models.reweight_config import LossShaped
from models.schedules import learning_rate_factor
from models.transforms import Similarities
from pipeline.errors import DataError
from stages.training.checkpoint import Checkpoint, Request, Saver
from stages.training.first_model import first_model
from stages.training.gradients import as_columns, gather_columns
from stages.training.memory import check_memory
from stages.training.parallel import lay_out
from stages.training.process import garbage_kept_back, peak_memory, prepare, some_garbage
from stages.training.samples import Samples, highest_of_all
from stages.training.state import part_of, read_parts, whole_weights
from stages.training.step_log import StepLog
from stages.training.step_record import Record
from stages.training.stream_feed import Passes, open_feed
from stages.training.training import Training
from stages.training.unusual import IN_A_ROW, describe, expected_loss, no_weight, not_finite
from stages.training.whole_batch import PartOfLoss, parts_of_loss


class Trainer:
    """Model, optimiser and state of one process, at the start of a run or where a checkpoint was written."""

    def __init__(
        self, training: Training, process_rank: int, world_size: int, device: torch.device,
        checkpoint: Checkpoint | None = None, passes: Passes | None = None,
    ) -> None:  # fmt: skip
        self.training, self.node, self.device, self.process_rank = training, training.node, device, process_rank
        self.bounds: Bounds | None = None
        self.step = 0
        self.told = tuple(dict.fromkeys(role for one in training.node.objectives for role in one.told))
        self.record = Record.of(len(training.sources), self.told)
        self.unusual: list[dict[str, Any]] = []
        self.similarities: list[Similarities]  # of the start's layers, for each transform
        self.model, self.similarities = first_model(training, filled=checkpoint is None)
        self.model.recompute = self.node.recompute
        self.parallel = lay_out(self.model, self.node, device)
        self.optimizer = self.node.optimizer.make(self.model)
        if checkpoint is not None:
            self._read(checkpoint)
        if world_size > 1:
            check_channels(self.model)
        if self.node.compile == "on":
            self.model.compiled = True
            for block in self.model.layers:
                block.compile(fullgraph=True)
        self.trained = trained(self.model)
        self.feed = open_feed(
            training, process_rank, world_size, device, passes, checkpoint and checkpoint.rest["feed"]
        )

    @property
    def first_process(self) -> bool:
        return self.process_rank == 0

    def written(self, *, copied: bool = False) -> Callable[[Path], list[str]]:
        """What writes this process's part of all that the next step depends on into a folder, and returns the names of
        its files; `copied`: also later, while steps go on.
        """
        part = part_of(self.model, self.optimizer, copied=copied)
        return lambda folder: part.write(folder, self.process_rank)

    def rest(self) -> dict[str, Any]:
        """What belongs to a checkpoint beside its tensors; JSON brings floats back bit for bit."""
        bounds = None if self.bounds is None else list(self.bounds)
        values = {"configuration": self.training.fingerprint, "step": self.step, "bounds": bounds}
        found = {"similarities": self.similarities} if any(self.similarities) else {}
        record, unusual = self.record.copied(), list(self.unusual)
        return {**values, **found, "record": record, "unusual": unusual, "feed": self.feed.state}

    def _read(self, checkpoint: Checkpoint) -> None:
        folder, files, rest = checkpoint
        if rest["configuration"] != self.training.fingerprint:
            raise DataError(
                f"pretrain, the checkpoint of step {rest['step']}", "one of another configuration",
                "one that this training has written", f"another scratch folder than {self.training.scratch}",
            )  # fmt: skip
        read_parts(folder, files, self.model, self.optimizer)
        self.step, self.record = rest["step"], Record(rest["record"])
        self.unusual, self.similarities = rest["unusual"], rest.get("similarities", [])
        self.bounds = None if rest["bounds"] is None else Bounds(*rest["bounds"])

    def train_step(self, request: Request = Request.NONE) -> Request:
        """One step; returns the first process's request, so that all know it."""
        node, weighting, step = self.node, self.node.weighting, self.step
        batch = self.feed.batch(step)
        samples = [Samples(micro, node.unit, node.reference) for micro in batch]
        bounds, highest = self._bounds(batch, samples), highest_of_all(samples) if self.training.prior_in_loss else 0.0
        shares = self._shares(batch)
        measured = []
        self.optimizer.zero_grad()
        for number, (micro, held) in enumerate(zip(batch, samples, strict=True)):
            losses = self._losses(micro)
            if isinstance(losses, PieceValues):
                losses = shares[number].losses(losses, micro)
            means_u = held.means(losses.score_bt)
            score_u = held.scores(means_u)
            g_u = self._raw_weights(held, score_u, bounds, highest)
            self.parallel.backward(held.weighted(losses, g_u), last=micro is batch[-1])
            roles = [each for role in range(len(self.told)) for each in held.of_role(losses.score_bt, role)]
            measured.append(
                as_columns(means_u, score_u, held.tokens_u, g_u, held.minimised(losses), held.rows_u, *roles)
            )
        (means_m, score_m, tokens_m, g_m, loss_m, rows_m, *of_roles), request = self._gather(
            torch.cat(measured, 1), request
        )
        total, tokens = float(g_m.sum()), float(tokens_m.sum())
        if tokens == 0.0 or total == 0.0:
            raise no_weight(step, rows_m.tolist(), labels=tokens > 0.0)
        self.parallel.divide(total)
        node.beside.penalise(self.model)
        norm = float(clip_gradients(self.trained, node.optimizer.clip))
        loss = float((means_m * tokens_m).sum() / tokens)
        finite = math.isfinite(loss) and math.isfinite(norm)
        expected = expected_loss(self.record["loss"], loss)
        if not finite or expected is not None:
            some_m = tokens_m > 0
            self.unusual.append(describe(step, loss, expected, rows_m[some_m].tolist(), means_m[some_m].tolist()))
        learning_rate = node.optimizer.lr * learning_rate_factor(node.lr_schedule, step, node.steps)
        if finite:
            set_learning_rate(self.optimizer, learning_rate)
            self.optimizer.step()
            node.beside.stepped(self.model, step, node.steps)
            if isinstance(weighting, LossShaped) and weighting.scope == "global_lagged":
                self.bounds = next_bounds(weighting, self.bounds, batch_bounds(weighting, score_m, tokens_m))
        elif node.on_nan == "stop" or sum(self.record["skipped"][1 - IN_A_ROW :]) == IN_A_ROW - 1:
            raise not_finite(step, loss, norm, self.unusual[-1])
        objective = float((g_m * loss_m).sum() / total)
        masses = (self.feed.by_source(rows_m, g_m) / total).tolist()
        marks = (float(expected is not None), float(not finite))
        weights = spread(g_m, tokens_m if weighting.by_tokens else (tokens_m > 0).double())
        self.feed.note(step, rows_m)
        told = [float(nats_m.sum() / labels_m.sum()) for nats_m, labels_m in zip(*[iter(of_roles)] * 2, strict=True)]
        self.record.add((loss, objective, tokens, *weights, learning_rate, norm, *marks, *told, *masses))
        self.step += 1
        return request

    def _raw_weights(self, held: Samples, score_u: torch.Tensor, bounds: Bounds | None, highest: float) -> torch.Tensor:
        config, at = self.node.weighting, {"step": self.step, "steps": self.node.steps, "highest": highest}
        if isinstance(config, LossShaped) and config.scope == "micro":
            return micro_weights(config, score_u, held.tokens_u, held.log_prior_u, **at)
        return raw_weights(config, score_u, held.tokens_u, held.log_prior_u, **at, bounds=bounds)

    def _losses(self, micro: Batch) -> TokenLosses | SampleLosses | PieceValues:
        bf16 = self.node.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            losses = self.model(micro, self.training.at(self.step).objective)
        return cast("TokenLosses | SampleLosses | PieceValues", losses)

    def _shares(self, batch: list[Batch]) -> list[PartOfLoss]:
        """What each of this process's micro-batches has of a loss over the whole batch; none of another loss."""
        objective = self.training.at(self.step).objective
        if not isinstance(objective, BatchObjective):
            return []
        with torch.no_grad():
            values = [self._losses(micro).values_pk for micro in batch]  # type: ignore[union-attr]
        return parts_of_loss(objective, batch, values, self.feed.micro_batches, self.step)

    def _bounds(self, batch: list[Batch], samples: list[Samples]) -> Bounds | None:
        config = self.node.weighting
        if not isinstance(config, LossShaped) or config.scope != "global_exact":
            return self.bounds
        if not inverse_temperature(config, self.step, self.node.steps):
            return None
        measured = []
        with torch.no_grad():
            for micro, held in zip(batch, samples, strict=True):
                measured.append(as_columns(held.scores(held.means(self._losses(micro).score_bt)), held.tokens_u))
        (score_m, tokens_m), _ = self._gather(torch.cat(measured, 1), Request.NONE)
        return batch_bounds(config, score_m, tokens_m)

    def _gather(self, measured: torch.Tensor, request: Request) -> tuple[torch.Tensor, Request]:
        """`measured` [k, samples of this process] for the whole batch, and the first process's request."""
        # rows are shared out alike in each step; how many documents they hold, each process knows of its own
        counts = self.feed.rows_of if self.node.unit == "row" else None
        whole, flag = gather_columns(measured, float(request), counts)
        return whole, Request(int(flag))


def train(
    training: Training, saver: Saver, process_rank: int, world_size: int, local_rank: int = 0,
    passes: Passes | None = None,
) -> Literal["done", "stopped"]:  # fmt: skip
    """Train to the end, or to a request to stop, from the saver's last checkpoint. All processes call it alike.
    `passes`: this one's part of a stream of rows.
    """
    device = prepare(training.node, local_rank)
    check_memory(training.node, training.vocab_size, training.length, world_size, device)
    with saver.restore() as checkpoint:
        trainer = Trainer(training, process_rank, world_size, device, checkpoint, passes)
    with ExitStack() as stack:
        stack.enter_context(garbage_kept_back())
        stack.callback(saver.close)
        stack.callback(trainer.feed.close)
        log = None
        if trainer.first_process and training.node.metrics:
            log = stack.enter_context(StepLog(saver.scratch, trainer.step, trainer.record.line))
        return _steps(trainer, saver, world_size, log)


def _steps(trainer: Trainer, saver: Saver, world_size: int, log: StepLog | None) -> Literal["done", "stopped"]:
    node = trainer.node
    first, started = trainer.step, time.perf_counter()
    ended = started
    while trainer.step < node.steps:
        request = trainer.train_step(saver.request() if trainer.first_process else Request.NONE)
        some_garbage(trainer.step)
        began, ended = ended, time.perf_counter()
        if log is not None:
            line = trainer.record.line(trainer.step - 1)
            line["tokens_per_second"] = line["tokens"] / (ended - began)
            if line["spike"] or line["skipped"]:
                line["unusual"] = trainer.unusual[-1]
            log.add(line)
        early = request is Request.STOP or (request is Request.LOOK and saver.losing_machines())
        done = trainer.step == node.steps
        if trainer.first_process and (trainer.step % node.log_interval == 0 or done):
            rate = sum(trainer.record["tokens"][first:]) / (ended - started)
            saver.progress(
                last=done, step=trainer.step, steps=node.steps, loss=trainer.record["loss"][-1],
                tokens_per_second=round(rate, 1), pid=os.getpid(), resumed_at=first,
            )  # fmt: skip
        if not done and (early or trainer.step % node.checkpoint_every == 0):
            if log is not None:
                log.sync()
            aside = node.save_aside and not early
            saver.save(trainer.step, trainer.written(copied=aside), trainer.rest(), aside=aside)
            if request is Request.STOP:
                return "stopped"
    saver.settle()
    seconds = time.perf_counter() - started
    weights = whole_weights(trainer.model)
    if trainer.first_process:
        tokens = sum(trainer.record["tokens"][first:])
        resources = {
            "tokens_per_second": round(tokens / seconds, 1) if tokens else None,
            "train_seconds": round(seconds, 3),
            "peak_memory": peak_memory(trainer.device),
            "resumed_at": first,
            "workers": world_size,
            "device": str(trainer.device),
        }
        saver.finish(lambda path: save(path, trainer.model, weights), {**trainer.rest(), "resources": resources})
    return "done"
