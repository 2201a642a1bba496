"""A model that is held over rows: how many documents it is given at once, on what device, by how many workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.bounds import Positive
from pipeline.contract import Node, Resources, RowNode, RowPhase, runtime
from stages.generate.loading import libraries_of, promises


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelRows(RowNode):
    """A row node whose workers hold the model in its field `model`; `open` gives the function of a batch.

    batch_rows  documents at once; configuration, since the last bits of a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    actors      (fewest, most) workers that hold the model
    commit_rows documents after which what is known of a shard is kept in the store
    """

    docs: Node
    batch_rows: Positive = 32
    device: Literal["cpu", "cuda"] = "cpu"
    actors: tuple[Positive, Positive] = runtime((1, 2))
    commit_rows: Positive | None = runtime(4096)

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return libraries_of(*self.asked())

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        return promises(*self.asked())

    def asked(self) -> tuple[Any, Any]:
        """The model, and what runs it."""
        node: Any = self
        return node.model, getattr(node, "backend", "transformers")

    def resources(self) -> Resources:
        return Resources(gpus=1.0 if self.device == "cuda" else 0.0, actors=tuple(self.actors))  # type: ignore[arg-type]

    def phases(self):
        return (self.model_phase(self.batch_rows),)

    def model_phase(self, rows: int, batch_tokens: int | None = None) -> RowPhase:
        """The phase of a node that takes so many documents at once."""
        return RowPhase(
            open=self.open, needs=self.needs, resources=self.resources(), batch_rows=rows, batch_tokens=batch_tokens,
            commit_rows=whole_batches(self.commit_rows, rows), reuse="batches" if self.deterministic else False,
        )  # fmt: skip


def whole_batches(commit_rows: int | None, batch_rows: int) -> int | None:
    """Return the smallest multiple of a batch that is at least the given number of rows."""
    return None if commit_rows is None else -(-commit_rows // batch_rows) * batch_rows
