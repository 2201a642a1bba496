"""What a training refuses, by name: rows that do not fit, checkpoints of another run. Numbers that are not finite and
batches without weight are in `test_unusual.py`, ranks and densities in `tests/models/test_presets.py`, stores that
refuse a checkpoint in `test_training_start.py`.
"""

import dataclasses

import numpy as np
import pytest

from models.optim_config import AdamW
from models.presets import Llama
from pipeline.errors import DataError
from stages.training.checkpoint import STOP, Saver
from stages.training.mixture import check_rows
from stages.training.worker import train
from tests.stages.training.rows import changed, made_rows
from tests.stages.training.test_worker import TINY, job

__all__ = ["job"]  # the fixture


def test_a_token_beyond_the_vocabulary_is_named_with_its_row(job):
    [(path, _, count)] = job.sources[0].rows.files
    ids = np.memmap(path.local(), "<u2", "r+").reshape(count, -1)
    ids[11, 3] = job.vocab_size
    ids.flush()
    with pytest.raises(DataError, match=rf"row 11: the token {job.vocab_size}, and a vocabulary of {job.vocab_size}"):
        train(job, Saver(job.scratch), 0, 1)


def test_sources_that_do_not_fit_together_are_named(tmp_path):
    rows = made_rows(tmp_path / "a")
    same = dataclasses.replace(rows, tokenizer="ab" * 32)
    check_rows([same, dataclasses.replace(same, draw=(5, 0))])
    for wrong, words in [
        (dataclasses.replace(same, files=()), r"rows\[1\]: no row"),
        (dataclasses.replace(same, vocab_size=51), r"rows\[1\]: rows of \(length, vocabulary"),
        (dataclasses.replace(same, specials=(("<mask>", 7),)), "special tokens"),
        (dataclasses.replace(same, tokenizer="cd" * 32), "the tokenizer cdcdcdcdcdcd; expected abababababab"),
    ]:
        with pytest.raises(DataError, match=words):
            check_rows([same, wrong])


@pytest.mark.long
@pytest.mark.parametrize("changes", [{"model": Llama("1m", **TINY)}, {"optimizer": AdamW(lr=1e-2)}, {"seed": 4}])
def test_a_checkpoint_of_another_configuration_is_refused_and_stays(job, changes):
    saver = Saver(job.scratch)
    saver.scratch.write(STOP, b"")
    assert train(job, saver, 0, 1) == "stopped"
    saver.scratch.remove(STOP)
    with pytest.raises(DataError, match="checkpoint of step 1: one of another configuration"):
        train(changed(job, **changes), Saver(job.scratch), 0, 1)
    assert saver.whole()
    # what decides no course may change
    assert train(changed(job, recompute=True, checkpoint_every=1), Saver(job.scratch), 0, 1) == "done"
