"""What is minimised at each place of a row: the slot, and plain cross-entropy, its default.

An objective is a frozen value with one method. A new one is a file with a class of this base and a line in
`stages.catalog.OBJECTIVES`; one of whole samples is a `models.sample_objective.SampleObjective`. It gives two numbers
for each place: `loss`, which is minimised, and `score`, by which rows are weighted and which the record shows: always
the plain cross-entropy, so that curves of different objectives compare.

Letters: b rows, t places, d model width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from models.fields import Typed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from models.batch import Batch


class TokenLosses(NamedTuple):
    """Two fp32 tensors `[b, t]`, 0 where there is no label; `score` has no gradient and may be the detached loss."""

    loss_bt: Tensor
    score_bt: Tensor


class SampleLosses(NamedTuple):
    """`loss_u`: of each group of pieces. `score_bt`: the plain cross-entropy fp32 `[b, t]`, without a gradient."""

    loss_u: Tensor
    score_bt: Tensor


class PieceValues(NamedTuple):
    """What a loss of whole samples is made of: k numbers of each piece. `score_bt`: as in `SampleLosses`."""

    values_pk: Tensor
    score_bt: Tensor


class OwnTensor(NamedTuple):
    """Numbers that an objective learns beside the model. They do not decay.

    name   of the tensor, `own.<name>` in checkpoints and model files
    start  its numbers before the first step
    rate   factor of the learning rate
    """

    name: str
    start: tuple[float, ...]
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Objective(metaclass=Typed):
    """Base of all objectives. `reads` names the carried columns that `Batch.columns` must hold; `asks_start`: it reads
    the model that the run starts from; `owns`: the numbers that it learns, and gets by `with_numbers`; `told`: roles of
    pieces whose plain loss stands in the record too.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    told: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[Literal["token", "group"]] = "token"  # what one loss is of

    @property
    def asks_start(self) -> bool:
        return False

    @property
    def owns(self) -> tuple[OwnTensor, ...]:
        return ()

    def with_numbers(self, own: Mapping[str, Tensor]) -> Objective:
        """The objective with the numbers of a model, by name; one that owns none is itself."""
        return self

    def bound(self, start: Path) -> Objective:
        """The objective of a run that starts from the model in this file; only where it asks for one."""
        raise NotImplementedError(f"{type(self).__name__}.bound")

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> TokenLosses | SampleLosses | PieceValues:
        """Losses from the last hidden states and the head's weight; called inside the model's forward, under autocast
        when the run uses it. The tensors must be no views: FSDP2 hangs its hook on them. A loss over the whole batch
        gives the values of the pieces (`models.batch_objective`).
        """
        raise NotImplementedError(f"{type(self).__name__}.losses")


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Objective):
    """Plain cross-entropy of the labels.

    z_loss  adds `z_loss * logsumexp^2` to the gradient (Chowdhery et al. 2022, section 5)
    form    how it is computed (`models.loss_forms`): the same gradients, other speed and memory. "auto" decides by the
            size of the logits
    """

    z_loss: float = 0.0
    form: Literal["auto", "full", "kept", "chunked", "fused"] = "auto"

    def __post_init__(self) -> None:
        if self.z_loss < 0.0:
            raise ValueError(f"z_loss: found {self.z_loss!r}, expected at least 0")
        if self.form not in ("auto", "full", "kept", "chunked", "fused"):
            raise ValueError(f"form: found {self.form!r}, expected auto, full, kept, chunked or fused")

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> TokenLosses:
        from models.loss_choice import choose
        from models.loss_forms import token_losses

        assert batch.labels_bt is not None, "losses of a batch without labels"
        form = choose(len(head_vd), batch.labels_bt.numel()) if self.form == "auto" else self.form
        loss_bt = token_losses(x_btd, head_vd, batch.labels_bt, z_loss=self.z_loss, form=form)
        return TokenLosses(loss_bt, loss_bt.detach())


CROSS_ENTROPY = CrossEntropy()
