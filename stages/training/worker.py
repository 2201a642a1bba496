"""The training loop of one process: plain torch, the same under Ray Train, under `torchrun`, or alone.

A step: rows of the global batch -> token losses -> loss of every row -> raw weights g (`models.reweight`)
-> gradient of `sum g_i loss_i` over micro-batches and processes (`stages.training.parallel`) -> one
division by Z, the sum of all g -> clip -> the optimiser. So the loss is a sum all the way, with one division by a
global total; uniform weights are g = tokens, the token mean.

The weights are those of a softmax over the whole global batch, on all processes and micro-batches, in both
forms: `bounds="lagged"` scales losses by running bounds of earlier steps, so a row's g is known as soon as
its loss is, and Z makes the sum exact; `bounds="batch"` takes the bounds of the same batch (Sow et al.
2025) by a forward pass without gradients before the real one. Losses, tokens and g are gathered once a
step, in the order of the batch, in fp64.

What is minimised, what the model is shown and which rows it sees are the job's slots (`models.objective`,
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
import resource
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F

from models.batch import Batch
from models.build import build, structure
from models.channels import check_channels
from models.files import save
from models.freeze import Freeze, apply
from models.llama import LlamaModel
from models.losses import sum_rows
from models.objective import TokenLosses
from models.optim import clip_gradients, set_learning_rate, trained
from models.reweight import Bounds, batch_bounds, inverse_temperature, next_bounds, raw_weights, spread
from models.reweight_config import Uniform
from models.schedules import learning_rate_factor
from models.transfer import NoWay, start_from
from pipeline.errors import DataError
from stages.training.checkpoint import Checkpoint, Saver, Wish
from stages.training.feed import Feed
from stages.training.gradients import gather
from stages.training.job import Job
from stages.training.memory import check_memory
from stages.training.parallel import lay_out
from stages.training.scratch import Scratch
from stages.training.state import read_parts, whole_weights, write_part

RECORD = (
    "loss",  # plain mean cross-entropy of the batch's labels [nats]
    "objective",  # the weighted loss that was minimised [nats]
    "tokens",  # labels in the batch
    "effective",  # effective samples / samples
    "weight_max",  # largest and smallest weight, 1 = uniform
    "weight_min",
    "learning_rate",
    "gradient_norm",  # before clipping
)


class Trainer:
    """Model, optimiser and state of one process, at the start of a run or where a checkpoint was written."""

    def __init__(
        self, job: Job, process_rank: int, world_size: int, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> None:
        self.job, self.device, self.process_rank = job, device, process_rank
        self.bounds: Bounds | None = None
        self.step = 0
        self.record: dict[str, list[float]] = {name: [] for name in RECORD}
        # a checkpoint brings all tensors: nothing is drawn, and no SVD made, to be written over
        self.model = self._fresh() if checkpoint is None else structure(*self._form, device="meta")
        if job.freeze is not None:
            self._freeze(job.freeze)
        self.model.recompute = job.recompute
        self.parallel = lay_out(self.model, job, device)
        self.optimizer = job.optimizer.make(self.model)
        if checkpoint is not None:
            self._read(checkpoint)
        if world_size > 1:
            check_channels(self.model)
        if job.compile:
            self.model.compiled = True
            for block in self.model.layers:
                block.compile(fullgraph=True)
        self.trained = trained(self.model)
        self.feed = Feed(job, process_rank, world_size, device)

    @property
    def first_process(self) -> bool:
        return self.process_rank == 0

    @property
    def _form(self):
        return self.job.model, self.job.vocab_size, self.job.length

    def _fresh(self) -> LlamaModel:
        job, keep = self.job, Scratch(self.job.scratch)
        if job.start is None:
            return build(*self._form, job.seed, keep=keep)
        try:
            return start_from(Path(job.start), *self._form, job.seed, keep)
        except NoWay as error:
            raise DataError("pretrain.start", str(error), "a model that this one can start from") from None

    def _freeze(self, policy: Freeze) -> None:
        try:
            apply(policy, self.model, self.job.seed)
        except ValueError as error:
            raise DataError("pretrain.freeze", str(error), "a policy that leaves parameters to train") from None

    def write(self, folder: Path) -> list[str]:
        """Write this process's part of all that the next step depends on; returns the names of its files."""
        return write_part(folder, self.process_rank, self.model, self.optimizer)

    def rest(self) -> dict[str, Any]:
        """What belongs to a checkpoint beside its tensors; JSON brings floats back bit for bit."""
        bounds = None if self.bounds is None else list(self.bounds)
        return {"step": self.step, "bounds": bounds, "record": self.record}

    def _read(self, checkpoint: Checkpoint) -> None:
        folder, files, rest = checkpoint
        read_parts(folder, files, self.model, self.optimizer)
        self.step, self.record = rest["step"], rest["record"]
        self.bounds = None if rest["bounds"] is None else Bounds(*rest["bounds"])

    def train_step(self, wish: Wish = Wish.NOTHING) -> Wish:
        """One step; returns the first process's wish, so that all know it."""
        job, step = self.job, self.step
        batch = self.feed.batch(step)
        bounds = self._bounds(batch)
        measured = []
        self.optimizer.zero_grad()
        for micro in batch:
            loss_b, score_b, tokens_b = self._losses(micro)
            g_b = raw_weights(
                job.reweight,
                score_b,
                tokens_b,
                micro.log_prior_b,
                step=step,
                steps=job.steps,
                bounds=bounds,
            )
            self.parallel.backward((g_b.to(loss_b.dtype) * loss_b).sum(), last=micro is batch[-1])
            measured.append(torch.stack([score_b.double(), tokens_b.double(), g_b, loss_b.detach().double()]))
        score_m, tokens_m, g_m, loss_m, wish = self._gather(torch.cat(measured, 1), wish)
        total = float(g_m.sum())
        self.parallel.divide(total)
        norm = float(clip_gradients(self.trained, job.optimizer.clip))
        loss = float((score_m * tokens_m).sum() / tokens_m.sum())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DataError(
                f"pretrain, step {step}", f"loss {loss}, gradient norm {norm}", "finite numbers",
                "lower optimizer.lr, or set optimizer.clip",
            )  # fmt: skip
        learning_rate = job.optimizer.lr * learning_rate_factor(job.lr_schedule, step, job.steps)
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        if not isinstance(job.reweight, Uniform) and job.reweight.bounds == "lagged":
            self.bounds = next_bounds(job.reweight, self.bounds, batch_bounds(job.reweight, score_m, tokens_m))
        shares = spread(g_m)
        objective = float((g_m * loss_m).sum() / total)
        values = (loss, objective, float(tokens_m.sum()), *shares, learning_rate, norm)
        for name, value in zip(RECORD, values, strict=True):
            self.record[name].append(value)
        self.step += 1
        return wish

    def _losses(self, micro: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean loss to be minimised, mean score and labels of every row."""
        bf16 = self.job.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            losses = self.model(micro, self.job.part(self.step).objective)
        assert isinstance(losses, TokenLosses)
        assert micro.labels_bt is not None
        sums_b, tokens_b = sum_rows(losses.loss_bt, micro.labels_bt)
        with torch.no_grad():
            scores_b, _ = sum_rows(losses.score_bt, micro.labels_bt)
        count_b = tokens_b.clamp_min(1)
        return sums_b / count_b, scores_b / count_b, tokens_b

    def _bounds(self, batch: list[Batch]) -> Bounds | None:
        config = self.job.reweight
        if isinstance(config, Uniform) or config.bounds == "lagged":
            return self.bounds
        if not inverse_temperature(config, self.step, self.job.steps):
            return None
        with torch.no_grad():
            measured = [torch.stack([part.double() for part in self._losses(micro)[1:]]) for micro in batch]
        score_m, tokens_m, *_ = self._gather(torch.cat(measured, 1), Wish.NOTHING)
        return batch_bounds(config, score_m, tokens_m)

    def _gather(self, measured: torch.Tensor, wish: Wish) -> tuple[Any, ...]:
        """Rows of `measured` [k, m of this process] for the whole batch, and the first process's wish."""
        flag = torch.tensor([float(wish)], dtype=torch.float64, device=self.device)
        # processes may have more or fewer rows, and only equal lengths can be gathered
        widest = max(self.feed.rows_of)
        filled = F.pad(measured, (0, widest - measured.shape[1]))
        parts = gather(torch.cat([flag, filled.T.reshape(-1)])).view(len(self.feed.rows_of), -1)
        rows = zip(parts[:, 1:].reshape(-1, widest, len(measured)), self.feed.rows_of, strict=True)
        # contiguous, since the order of a sum may depend on the layout
        whole = torch.cat([part[:count] for part, count in rows]).T.cpu().contiguous()
        return *whole, Wish(int(parts[0, 0]))


def train(
    job: Job, saver: Saver, process_rank: int, world_size: int, local_rank: int = 0
) -> Literal["done", "stopped"]:
    """Train to the end, or to a wish to stop; resumes from the saver's last checkpoint. All processes call
    it alike.
    """
    device = prepare(job, local_rank)
    check_memory(job, job.vocab_size, job.length, world_size, device)
    with saver.restore() as checkpoint:
        trainer = Trainer(job, process_rank, world_size, device, checkpoint)
    try:
        return _steps(trainer, saver, world_size)
    finally:
        trainer.feed.close()


def _steps(trainer: Trainer, saver: Saver, world_size: int) -> Literal["done", "stopped"]:
    job = trainer.job
    started, first = time.perf_counter(), trainer.step
    while trainer.step < job.steps:
        wish = trainer.train_step(saver.wish() if trainer.first_process else Wish.NOTHING)
        early = wish is Wish.STOP or (wish is Wish.ASK and saver.losing_machines())
        done = trainer.step == job.steps
        if trainer.first_process and (trainer.step % job.log_interval == 0 or done):
            rate = sum(trainer.record["tokens"][first:]) / (time.perf_counter() - started)
            saver.progress(
                last=done,
                step=trainer.step,
                steps=job.steps,
                loss=trainer.record["loss"][-1],
                tokens_per_second=round(rate, 1),
                pid=os.getpid(),
            )
        if not done and (early or trainer.step % job.checkpoint_every == 0):
            saver.save(trainer.step, trainer.write, trainer.rest())
            if wish is Wish.STOP:
                return "stopped"
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
        saver.finish(
            lambda path: save(path, trainer.model, weights), {"record": trainer.record, "resources": resources}
        )
    return "done"


def prepare(job: Job, local_rank: int = 0) -> torch.device:
    """Threads and determinism of this process; the device that it trains on."""
    torch.set_num_threads(job.threads)
    if job.device == "cuda":
        # cuBLAS is deterministic only with a workspace of fixed size
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # nothing here reads a number that it has not written, and filling new tensors is 5 % of a step
    cast("Any", torch.utils.deterministic).fill_uninitialized_memory = False
    if job.device == "cpu":
        return torch.device("cpu")
    # a launcher shows a process all devices of its group, or only its own
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device's allocator, or the resident peak of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
