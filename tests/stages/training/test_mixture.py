"""What a mixture asks for and what it gets under a cap of epochs, counted from the rows that were really seen."""

import numpy as np
import pytest

from pipeline.report.figures import check
from stages.training.mixture import mixture_table
from stages.training.sampler import BLOCK, Sampler, capped_shares


def test_the_table_counts_the_rows_that_were_seen():
    rows, asked, steps = (1000, 100), (1.0, 1.0), BLOCK // 8
    shares = capped_shares(asked, rows, steps * 8, max_epochs=10)
    assert shares is not None
    sampler = Sampler(("a" * 64, "b" * 64), rows, shares, 8, 0)
    sources, places = sampler.batch(0, steps)
    first = np.array([0, 1000])
    run = {
        "length": 256,
        "sources": [
            {"name": n, "rows": r, "first_row": int(f)} for n, r, f in zip(sampler.names, rows, first, strict=True)
        ],
    }
    table = mixture_table(asked, run, (first[sources] + places).ravel())
    check(table)
    (_, *one), (_, *other) = table["rows"]
    assert [one[0], one[1], other[0], other[1]] == [1000, 0.5, 100, 0.5]
    assert other[4] == pytest.approx(10, abs=0.01)  # the cap
    assert other[2] == pytest.approx(1000 / BLOCK, abs=1e-3)
    assert one[2] + other[2] == pytest.approx(1)
    assert one[3] + other[3] == BLOCK * 256
