"""The experiment compares equals, pairs seeds, and its corpus keeps the held-out documents apart."""

import numpy as np

from benchmarks.dedup.records import Records
from benchmarks.lost import experiment, layers
from models.accounting import count_parameters


def test_every_control_holds_as_many_parameters_as_lost_and_dense_more():
    sizes = {name: count_parameters(model, 1).projections for name, model in experiment.methods().items()}
    dense, lost = sizes.pop("dense"), sizes["LOST"]
    assert len(sizes) == 6
    assert all(0.98 * lost < size < 1.02 * lost for size in sizes.values()), sizes
    assert dense > 2 * lost


def test_the_seed_that_rates_are_tuned_on_gives_no_result():
    assert experiment.TUNING_SEED not in range(experiment.LOST.seeds)
    assert experiment.LOST.steps * experiment.ROWS * experiment.LENGTH >= 2_000_000


def test_the_layer_keeps_its_promises():
    records = Records()
    layers.promises(records)
    assert [row["holds"] for row in records.rows] == [True, True]


def test_held_out_documents_are_in_no_row(tmp_path):
    rows, held = experiment.corpus(tmp_path)
    ids = np.fromfile(rows.files[0][0].local(), "<u2").reshape(-1, experiment.LENGTH + 1)
    assert ids.max() < experiment.WORDS
    known = {row[:64].tobytes() for row in ids.astype(np.int64)}
    assert not any(row[:64].tobytes() in known for row in held)
