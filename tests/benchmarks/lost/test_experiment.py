"""The experiment compares equals, pairs seeds, and its corpus keeps the held-out documents apart."""

import numpy as np
import pytest

from benchmarks.dedup.records import Records
from benchmarks.lost import experiment, layers
from models.accounting import count_parameters


def test_every_control_holds_as_many_parameters_as_lost_and_dense_more():
    sizes = {name: count_parameters(model, 1).projections for name, model in experiment.methods().items()}
    dense = sizes.pop("dense")
    lost = sizes["LOST + SiLU"]
    assert len(sizes) == 7
    assert all(0.95 * lost < size <= lost for size in sizes.values())
    assert dense > 2 * lost


def test_the_layer_keeps_its_promises():
    records = Records()
    layers.promises(records)
    assert [row["holds"] for row in records.rows] == [True, True]


def test_differences_are_paired_by_seed():
    def row(method, losses):
        return {"method": method, "parameters": 1, "lr": 1e-3, "losses": losses}

    table = [row(experiment.BASE, [2.0, 3.0, 4.0]), row("LOST + SiLU", [1.9, 2.8, 4.1])]
    records = Records()
    experiment.compare(records, table)
    lost = table[1]
    assert lost["difference"] == pytest.approx(-0.2 / 3)
    assert lost["half_width"] == pytest.approx(4.303 * np.std([-0.1, -0.2, 0.1], ddof=1) / 3**0.5)
    assert (lost["seeds_better"], records.rows[0]["holds"]) == (2, False)


def test_held_out_documents_are_in_no_row(tmp_path):
    rows, held = experiment.corpus(tmp_path)
    ids = np.fromfile(rows.files[0][0].local(), "<u2").reshape(-1, experiment.LENGTH + 1)
    assert ids.max() < experiment.WORDS
    known = {row[:64].tobytes() for row in ids.astype(np.int64)}
    assert not any(row[:64].tobytes() in known for row in held)
