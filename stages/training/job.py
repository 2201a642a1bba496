"""A training run as one plain value: all that a training process needs, whatever number of them there is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from models.freeze import Freeze
from models.objective import CROSS_ENTROPY, Objective
from models.optim_config import LearningRateSchedule
from models.optimiser import Optimiser
from models.presets import Llama
from models.reweight_config import Reweight
from pipeline.contract import Store, StoredFile
from stages.documents import LOG_PRIOR
from stages.training.asks import columns
from stages.training.collate import NEXT_TOKEN, Collator
from stages.training.order import MIXTURE, OpenOrder, Order
from stages.training.row_source import RowSource
from stages.training.stage import Stage, stage_at
from stages.training.stream import Stream

COURSE = (
    "model", "objective", "collate", "order", "freeze", "schedule", "reweight", "optimizer", "lr_schedule",
    "steps", "batch_rows", "micro_batches", "seed", "attend", "precision", "on_nan", "stream",
)  # fmt: skip


class Part(NamedTuple):
    """What holds in one step."""

    objective: Objective
    collate: Collator
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on what, and how. The first block decides every bit of the result, the second none."""

    sources: tuple[RowSource, ...]
    model: Llama
    reweight: Reweight
    optimizer: Optimiser
    lr_schedule: LearningRateSchedule
    steps: int
    batch_rows: int
    micro_batches: int
    seed: int
    attend: Literal["row", "document"]
    precision: Literal["fp32", "bf16"]
    reduce: Literal["tree", "ring"]
    shard: int
    threads: int
    device: Literal["cpu", "cuda"]
    compile: bool = False
    objective: Objective = CROSS_ENTROPY
    collate: Collator = NEXT_TOKEN
    order: Order = MIXTURE
    freeze: Freeze | None = None
    schedule: tuple[Stage, ...] = ()
    start: StoredFile | None = None  # a trained model's
    on_nan: Literal["stop", "skip"] = "stop"
    stream: Stream | None = None

    recompute: bool = False
    checkpoint_every: int
    log_interval: int
    log_steps: bool = True
    save_aside: bool = False
    scratch: Store | str

    @property
    def length(self) -> int:
        """T, tokens that the model sees of a row."""
        return self.sources[0].rows.length

    @property
    def vocab_size(self) -> int:
        return self.sources[0].rows.vocab_size

    @property
    def unit(self) -> Literal["row", "document"]:
        """What a sample of the weights is."""
        return getattr(self.reweight, "unit", "row")

    @property
    def reference(self) -> str | None:
        """The carried column above which losses are ranked."""
        return getattr(self.reweight, "reference", None)

    @cached_property
    def prior_in_loss(self) -> bool:
        """Whether rows carry a prior that the loss counts."""
        return not self.order.weighs and any(source.rows.carries(LOG_PRIOR) for source in self.sources)

    @cached_property
    def configuration(self) -> str:
        """Digest of what a checkpoint belongs to: all that decides the course of a run, whatever machines and processes
        go on with it.
        """
        sources = [(source.name, source.share, source.rows.rows) for source in self.sources]
        values = [repr(getattr(self, name)) for name in COURSE]
        return hashlib.sha256(repr([sources, values]).encode()).hexdigest()

    @cached_property
    def sampler(self) -> OpenOrder:
        """The order of the run's rows."""
        return self.order.open(self.sources, batch_rows=self.batch_rows, steps=self.steps, seed=self.seed)

    def part(self, step: int) -> Part:
        """What holds in a step."""
        stage = stage_at(self.schedule, step, self.steps)
        return Part(
            self._bound(stage.objective or self.objective),
            stage.collate or self.collate,
            (stage.attend or self.attend) == "document",
        )

    def _bound(self, objective: Objective) -> Objective:
        """The objective with what it reads of the model that the run starts from; one value for the whole run."""
        if not objective.asks_start:
            return objective
        assert self.start is not None, "an objective that asks for a start, in a run without one"
        return self._objectives.setdefault(objective, objective.bound(self.start.local()))

    @cached_property
    def _objectives(self) -> dict[Objective, Objective]:
        return {}

    @property
    def reads(self) -> tuple[str, ...]:
        """Carried columns that some part of the run asks for, in order of name."""
        parts = [self.objective, self.collate, self.order, self.reweight]
        return columns([*parts, *(part for stage in self.schedule for part in (stage.objective, stage.collate))])
