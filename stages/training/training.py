"""A training as one plain value: all that a training process needs, whatever number of them there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from models.objective import Objective
from pipeline.contract import Store, StoredFile
from stages.documents import LOG_PRIOR
from stages.training.collate import Collator
from stages.training.order import OpenOrder
from stages.training.row_source import RowSource
from stages.training.settings import TrainingSettings
from stages.training.stage import stage_at


class InForce(NamedTuple):
    """What holds in one step."""

    objective: Objective
    collate: Collator
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is declared of a training, and what was found in the store for it.

    node         the frozen declaration
    fingerprint  the node's: what a checkpoint belongs to
    sources      the rows
    start        the file of the model that it starts from
    scratch      where checkpoints lie, and the result until it is published
    """

    node: TrainingSettings
    fingerprint: str
    sources: tuple[RowSource, ...]
    start: StoredFile | None = None
    scratch: Store | str

    @property
    def length(self) -> int:
        """T, tokens that the model sees of a row."""
        return self.sources[0].rows.length

    @property
    def vocab_size(self) -> int:
        """Of the rows."""
        return self.sources[0].rows.vocab_size

    @cached_property
    def prior_in_loss(self) -> bool:
        """Whether rows carry a prior that the loss counts."""
        return not self.node.order.weighs and any(source.rows.carries(LOG_PRIOR) for source in self.sources)

    @cached_property
    def sampler(self) -> OpenOrder:
        """The order of the run's rows."""
        node = self.node
        return node.order.open(self.sources, batch_rows=node.batch_rows, steps=node.steps, seed=node.seed)

    def at(self, step: int) -> InForce:
        """What holds in a step."""
        node = self.node
        stage = stage_at(node.schedule, step, node.steps)
        return InForce(
            self._bound(stage.objective or node.objective),
            stage.collate or node.collate,
            (stage.attend or node.attend) == "document",
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
