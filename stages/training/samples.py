"""The samples of a micro-batch that are weighted: its rows, the documents in them (pieces of documents, when cut), or
the groups of pieces that `pack_samples` lays down.

A token's factor is the weight of its sample divided by the sample's tokens. So uniform weights by tokens are the factor
1.0 exactly, whatever a sample is: plain training, bit for bit. A loss of groups takes the weights as they are.

Letters: b rows, t places, d pieces of a row, u samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.batch import Batch
from models.losses import IGNORE, sum_documents, sum_rows
from models.objective import SampleLosses, TokenLosses
from models.reweight import highest_prior
from models.sample_objective import SamplePieces
from stages.tokens.packed_rows import LOG_PRIOR
from stages.training.gradients import gather


class Samples:
    """Of one micro-batch; `reference` names the column that is subtracted from the loss before rows are ranked.

    tokens_u     labels of each sample
    rows_u       global number of the row that holds it
    log_prior_u  logarithm of its prior weight
    """

    def __init__(self, batch: Batch, unit: str, reference: str | None = None) -> None:
        assert batch.labels_bt is not None
        assert batch.rows_b is not None
        self._labels_bt, self._index_bt, self._count = batch.labels_bt, None, len(batch.labels_bt)
        self._pieces: SamplePieces | None = None
        self.rows_u, self.log_prior_u = batch.rows_b, batch.log_prior_b
        self._reference_u = None if reference is None else batch.columns[reference]
        if unit == "document":
            assert batch.documents_bt is not None
            rows, stride = len(batch.labels_bt), int(batch.documents_bt.max()) + 1
            first_b1 = torch.arange(rows, device=batch.labels_bt.device)[:, None] * stride
            self._index_bt, self._count = first_b1 + batch.documents_bt, rows * stride
            self.rows_u = batch.rows_b.repeat_interleave(stride)
            prior_bd = batch.pieces.get(LOG_PRIOR)
            self.log_prior_u = None if prior_bd is None else _by_number(prior_bd, stride)
            if reference is not None:
                self._reference_u = _by_number(batch.pieces[reference], stride)
        elif unit == "group":
            self._pieces = pieces = SamplePieces.of(batch)
            self._index_bt, self._count = pieces.group_p[pieces.piece_bt], pieces.groups
            self.rows_u = batch.rows_b.repeat_interleave(pieces.groups // len(batch.rows_b))
            self.log_prior_u = pieces.of_group(LOG_PRIOR) if LOG_PRIOR in pieces.columns else None
            if reference is not None:
                self._reference_u = pieces.of_group(reference)
        self.tokens_u = self._sums(torch.zeros_like(batch.labels_bt, dtype=torch.float32))[1]

    def means(self, losses_bt: Tensor) -> Tensor:
        """Mean over the labels of each sample, `[u]`, 0 for a sample without labels."""
        return self._sums(losses_bt)[0] / self.tokens_u.clamp_min(1)

    def scores(self, means_u: Tensor) -> Tensor:
        """What samples are ranked by, fp64 `[u]`: their mean loss, or what it is above the reference."""
        return means_u.double() if self._reference_u is None else means_u.double() - self._reference_u.double()

    def of_role(self, score_bt: Tensor, role: int) -> tuple[Tensor, Tensor]:
        """Of the pieces of a role in each sample, the sum of their scores and how many labels they have, `[u]`; zeros
        for samples without pieces.
        """
        if self._pieces is None:
            nothing_u = torch.zeros_like(self.tokens_u)
            return nothing_u, nothing_u
        learned_bt = (self._labels_bt != IGNORE).double()
        score_u, labels_u = (
            self._pieces.of_role(self._pieces.sums(values_bt), role) for values_bt in (score_bt, learned_bt)
        )  # fmt: skip
        return score_u, labels_u

    def weighted(self, losses: TokenLosses | SampleLosses, g_u: Tensor) -> Tensor:
        """The sum of the losses of the samples, each times its weight."""
        if isinstance(losses, SampleLosses):
            return (g_u * losses.loss_u).sum()
        factors_u = (g_u / self.tokens_u.clamp_min(1)).float()
        factors_bt = factors_u[:, None] if self._index_bt is None else factors_u[self._index_bt]
        return (factors_bt * losses.loss_bt).sum()

    def minimised(self, losses: TokenLosses | SampleLosses) -> Tensor:
        """The loss of each sample as a number: its own, or the mean of its labels'."""
        return losses.loss_u.detach() if isinstance(losses, SampleLosses) else self.means(losses.loss_bt.detach())

    def _sums(self, losses_bt: Tensor) -> tuple[Tensor, Tensor]:
        if self._index_bt is None:
            return sum_rows(losses_bt, self._labels_bt)
        return sum_documents(losses_bt, self._labels_bt, self._index_bt, self._count)


def highest_of_all(samples: Sequence[Samples]) -> float:
    """The highest prior of the whole batch, over the micro-batches of all processes."""
    mine = max(highest_prior(held.tokens_u, held.log_prior_u) for held in samples)
    return float(gather(torch.tensor([mine], dtype=torch.float64, device=samples[0].tokens_u.device)).max())


def _by_number(values_bd: Tensor, stride: int) -> Tensor:
    """Values of the documents 1, 2, ... of each row as `[b stride]`, 0 for the filling, whose number is 0."""
    whole_bs = values_bd.new_zeros(len(values_bd), stride)
    width = min(stride - 1, values_bd.shape[1])
    kept_bd = values_bd[:, :width]
    whole_bs[:, 1 : 1 + width] = kept_bd.masked_fill(kept_bd.isnan(), 0.0)
    return whole_bs.flatten()
