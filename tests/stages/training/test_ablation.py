"""An ablation says what is true: intervals hold what they should, seeds must agree, and arms are scored in pairs."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from pipeline.report.figures import check
from stages.intervals import interval
from stages.read.read import Read
from stages.training.ablation import Ablation
from stages.training.evaluate import Evaluate
from stages.training.hf_model import HfModel

DOCS = Read(paths=("unread",), keep=("held_out:bool",))
RUN = Evaluate(model=HfModel(paths=("unread",)), docs=DOCS)
DOCUMENTS = 400


class Arms(LocalContext):
    """Evaluations by their place in `runs`."""

    def path(self, phase, key, ext, of=None):
        return super().path(phase, key, ext) if of is None else self.folder / f"{of[1]}.parquet"


def ablated(folder, arms, shift=0.0, ids=None, **fields):
    """The result of arms, each a list of seeds, each nats per document."""
    folder.mkdir(exist_ok=True)
    size = 100 + np.arange(DOCUMENTS)
    flat = [nats for arm in arms for nats in arm]
    for place, nats in enumerate(flat):
        names = [f"d:{i}" for i in range(DOCUMENTS)] if ids is None else ids[place]
        source = ["sea" if i % 4 else None for i in range(DOCUMENTS)]
        table = {"id": names, "source": pa.array(source, pa.string()), "nats": nats, "bytes": size}
        pq.write_table(pa.table(table), folder / f"{place}.parquet")
    labels = tuple("abc"[: len(arms)])
    node = Ablation(runs=(RUN,) * len(flat), labels=labels, resamples=500, **fields)
    node.check()
    ctx = Arms(node, folder)
    ctx.run_all()
    for figure in node.figures(ctx):
        check(figure)
    return json.loads(ctx.path("table", "all", ".json").read_text())


def noise(seed):
    draw = np.random.default_rng(seed)
    hard = np.random.default_rng(99).gamma(2.0, 60.0, DOCUMENTS)  # of the documents, the same for all models
    return hard + draw.normal(0, 1.0, DOCUMENTS)


def test_a_small_difference_is_real_because_documents_are_paired(tmp_path):
    found = ablated(tmp_path / "x", [[noise(1), noise(2)], [noise(3) - 1, noise(4) - 1], [noise(5), noise(6) + 0.02]])
    better, same = (arm["groups"]["all"] for arm in found["arms"][1:])
    gain = 1 / (100 + (DOCUMENTS - 1) / 2) / math.log(2)
    assert better["gain"] == pytest.approx(gain, rel=0.15)
    assert better["from"] < better["gain"] < better["to"]
    assert better["real"]
    assert not same["real"]
    assert found["words"][0].startswith("b is better than a by 0.00")
    assert "all 2 seeds agree" in found["words"][0]
    assert "no difference is shown" in found["words"][1]
    assert set(found["arms"][1]["groups"]) == {"all", "sea"}
    assert found == ablated(tmp_path / "again", [[noise(1), noise(2)], [noise(3) - 1, noise(4) - 1],
                                                 [noise(5), noise(6) + 0.02]])  # fmt: skip


def test_seeds_that_disagree_show_nothing(tmp_path):
    found = ablated(tmp_path, [[noise(1), noise(2)], [noise(3) - 5, noise(4) + 1]])
    arm = found["arms"][1]["groups"]["all"]
    assert arm["from"] > 0
    assert not arm["real"]
    assert "the seeds do not agree" in found["words"][0]


def test_the_interval_is_that_of_the_mean_where_sizes_are_equal():
    values, size = np.random.default_rng(0).normal(3.0, 2.0, 1000), np.full(1000, 2.0)
    low, high = interval(values, size, 4000, 0.95, 0)
    middle, spread = values.mean() / 2, 1.96 * values.std() / math.sqrt(1000) / 2
    assert (low, high) == pytest.approx((middle - spread, middle + spread), abs=0.01)


def test_other_documents_and_uneven_arms_are_named(tmp_path):
    names = [f"d:{i}" for i in range(DOCUMENTS)]
    with pytest.raises(DataError, match="the same documents"):
        ablated(tmp_path, [[noise(1)], [noise(2)]], ids=[names, names[::-1]])
    for runs, labels in (((RUN,) * 3, ("a", "b")), ((RUN,) * 2, ("a", "a")), ((DOCS,) * 2, ("a", "b"))):
        with pytest.raises(RecipeError):
            Ablation(runs=runs, labels=labels).check()
