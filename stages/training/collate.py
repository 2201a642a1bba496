"""From packed rows to a batch: the slot, and next-token prediction, its default.

A collator is a frozen value with one method. A new one is a file with a class of this base and a line in
`stages.catalog.COLLATORS`. It decides what the model is shown, what it has to predict and what each place may see;
nothing later shifts or masks.

Letters: b rows, t places of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from models.fields import Typed
from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from models.batch import Batch


class Rows(NamedTuple):
    """Packed rows of a micro-batch.

    ids        int64 [b, T+1]
    documents  int64 [b, T+1], number of each token's piece in its row, from 1; filling is 0. No two pieces share a
               token, and the tail of a cut document is a piece of its own
    numbers    int64 [b], global row numbers: sources count one after another
    sources    int64 [b], place of each row's source in the mixture
    log_prior  float32 [b]
    columns    float64 [b] each, the carried columns that were asked for
    cut        whether attention stays inside a document
    end_id     the special token that begins and ends a document
    vocab_size size of the vocabulary
    specials   name -> id of the tokenizer's special tokens
    learned    bool [b, T+1], which tokens are learned; None = all
    groups     int64 [b, d], group of each piece of a row, from 1, and 0 behind its last piece; None where rows hold no
               samples
    roles      int64 [b, d], what each piece is in its group
    """

    ids: np.ndarray
    documents: np.ndarray
    numbers: np.ndarray
    sources: np.ndarray
    log_prior: np.ndarray
    columns: Mapping[str, np.ndarray]
    cut: bool
    end_id: int
    vocab_size: int
    specials: Mapping[str, int]
    learned: np.ndarray | None = None
    groups: np.ndarray | None = None
    roles: np.ndarray | None = None

    @property
    def plain(self) -> np.ndarray:
        """Where a token of the text stands: bool [b, T+1], false for special tokens and for filling."""
        import numpy as np

        return (self.documents > 0) & ~np.isin(self.ids, [self.end_id, *self.specials.values()])


class Key(NamedTuple):
    """Where a run of `steps` steps is: all that a collator may derive a choice from, beside the rows, so that a resumed
    run makes the same ones.
    """

    seed: int
    step: int
    steps: int

    def name(self, row: int, purpose: str = "") -> str:
        """The key of a choice for a row of this step, named by its global number: never by worker, place or time."""
        return f"collate/{self.seed}/{self.step}/{row}/{purpose}"

    def number(self, row: int, purpose: str = "", size: int = 16) -> int:
        """The key of that name as a number of so many bytes."""
        return int.from_bytes(hashlib.sha256(self.name(row, purpose).encode()).digest()[:size])

    def chance(self, row: int, purpose: str = "") -> np.random.Generator:
        """A generator with the key of that name."""
        import numpy as np

        return np.random.Generator(np.random.Philox(key=self.number(row, purpose)))


@dataclass(frozen=True, kw_only=True)
class Collator(metaclass=Typed):
    """Base of all collators. `reads` names the carried columns that `Rows.columns` must hold, `needs` the special
    tokens that `Rows.specials` must hold; `both_sides`: a place sees what stands behind it, so that the model is no
    causal one afterwards; `learns_places`: it asks for the tokens that `Rows.learned` marks alone, as samples need it;
    `predicts`: labels are to be predicted, and do not only mark places that are pooled.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    both_sides: ClassVar[bool] = False
    learns_places: ClassVar[bool] = False
    predicts: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def collate(self, rows: Rows, key: Key) -> Batch:
        """The batch, on the CPU, a row for each that is given; a function of its arguments alone."""
        raise NotImplementedError(f"{type(self).__name__}.collate")


@dataclass(frozen=True, kw_only=True)
class NextToken(Collator):
    """Every token is predicted from those before it; none is predicted from another document or in filling. Of samples
    the tokens of answers alone are predicted.
    """

    learns_places: ClassVar[bool] = True

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        from models.losses import IGNORE
        from stages.tokens.taken_rows import has_label

        labels = np.where(has_label(rows.documents, rows.learned), rows.ids[:, 1:], IGNORE)
        return batch_of(rows, rows.ids[:, :-1], labels)


NEXT_TOKEN = NextToken()


def batch_of(
    rows: Rows, ids: np.ndarray, labels: np.ndarray, documents: np.ndarray | None = None, **more: Any
) -> Batch:
    """A batch of these ids and labels `[b, t]` with what else the rows hold; `more`: other fields of `Batch`.

    `documents` are those of the first t tokens of each row unless others are given.
    """
    from models.batch import Batch

    return Batch(
        ids_bt=tensor(ids),
        labels_bt=tensor(labels),
        documents_bt=tensor(rows.documents[:, : ids.shape[1]] if documents is None else documents),
        cut=rows.cut,
        rows_b=tensor(rows.numbers),
        log_prior_b=tensor(rows.log_prior),
        columns={name: tensor(values) for name, values in rows.columns.items()},
        groups_bd=None if rows.groups is None else tensor(rows.groups),
        roles_bd=None if rows.roles is None else tensor(rows.roles),
        **more,
    )


def tensor(values: np.ndarray) -> torch.Tensor:
    """A tensor of its own memory."""
    import numpy as np
    import torch

    return torch.from_numpy(np.ascontiguousarray(values).copy())


def check_shape(collator: Collator, batch: Batch, rows: int) -> None:
    """Raise DataError unless a batch has one row for each that its collator was given: samples are gathered over all
    processes by these numbers, so one row more would count twice, or cut another off.
    """
    place = f"collate: {type(collator).__name__}"
    shape = tuple(batch.ids_bt.shape)
    if batch.labels_bt is None:
        raise DataError(place, "a batch without labels", "`labels_bt` of the shape of `ids_bt`")
    if len(shape) != 2 or shape[0] != rows:
        raise DataError(place, f"ids of the shape {list(shape)}", f"[{rows}, t]: one row for each that it is given")
    by_row = {f"columns[{name!r}]": values for name, values in batch.columns.items()}
    by_row |= {name: getattr(batch, name) for name in ("rows_b", "log_prior_b", "objective_b")}
    by_place = {name: getattr(batch, name) for name in ("labels_bt", "documents_bt", "prefix_bt")}
    for wanted, parts in (((rows,), by_row), (shape, by_place)):
        for name, values in parts.items():
            if values is not None and tuple(values.shape) != wanted:
                raise DataError(place, f"{name} of the shape {list(values.shape)}", f"{list(wanted)}, as its rows")
    if batch.documents_bt is not None and int(batch.documents_bt.min()) < 0:
        raise DataError(place, f"the document {int(batch.documents_bt.min())}", "numbers from 1, and 0 for filling")
