"""A model asked for losses or logits of plain tensors."""

from models.batch import Batch
from models.objective import CROSS_ENTROPY


def losses(model, ids, labels, documents=None):
    """Token losses `[b, t]`; attention stays inside `documents` when they are given."""
    batch = Batch(ids_bt=ids, labels_bt=labels, documents_bt=documents, cut=documents is not None)
    return model(batch, CROSS_ENTROPY).loss_bt


def logits(model, ids):
    """Logits `[b, t, v]`."""
    return model(Batch(ids_bt=ids), "logits")
