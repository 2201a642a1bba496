"""A collator of one's own that does not keep to its rows: named before a sample of it counts twice or is cut off."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from models.batch import Batch
from pipeline.errors import DataError
from stages.training.collate import NEXT_TOKEN, Collator
from stages.training.worker import Trainer
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import job

__all__ = ["job"]  # the fixture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Misshapen(Collator):
    """The batch of next tokens, changed by a function."""

    change: Callable[[Batch], dict]

    def collate(self, rows, key):
        batch = NEXT_TOKEN.collate(rows, key)
        return dataclasses.replace(batch, **self.change(batch))


def twice(batch, *names):
    return {name: torch.cat([getattr(batch, name)] * 2) for name in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: twice(b, "ids_bt", "labels_bt", "documents_bt", "rows_b", "log_prior_b"),
         r"Misshapen: ids of the shape \[8, 16\]; expected \[4, t\]: one row for each"),
        (lambda b: {name: getattr(b, name)[:3] for name in ("ids_bt", "labels_bt", "documents_bt", "rows_b")},
         r"ids of the shape \[3, 16\]"),
        (lambda b: twice(b, "rows_b"), r"rows_b of the shape \[8\]; expected \[4\]"),
        (lambda b: twice(b, "log_prior_b"), r"log_prior_b of the shape"),
        (lambda b: {"labels_bt": b.labels_bt[:, :-1]}, r"labels_bt of the shape \[4, 15\]; expected \[4, 16\]"),
        (lambda b: {"labels_bt": None}, "a batch without labels"),
        (lambda b: {"documents_bt": b.documents_bt - 1}, r"the document -1"),
        (lambda b: {"columns": {"level": torch.zeros(5)}}, r"columns\['level'\] of the shape \[5\]"),
    ],
)  # fmt: skip
def test_a_collator_that_makes_other_rows_than_it_was_given_is_named(job, change, message):
    trainer = Trainer(changed(job, collate=Misshapen(change=change), fingerprint=""), 0, 1, torch.device("cpu"))
    with pytest.raises(DataError, match=message):
        trainer.train_step()
    trainer.feed.close()


def test_a_collator_may_change_the_length_of_its_rows(job):
    def shorter(batch):
        return {name: getattr(batch, name)[:, :9] for name in ("ids_bt", "labels_bt", "documents_bt")}

    trainer = Trainer(changed(job, collate=Misshapen(change=shorter), fingerprint=""), 0, 1, torch.device("cpu"))
    trainer.train_step()
    trainer.feed.close()
    assert 0 < trainer.record["tokens"][0] <= 16 * 9
