"""The values recipes hold: light to import, stable, and strict about nonsense."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

import models
from models import (
    SHAPES,
    AdamW,
    Cosine,
    GaLore,
    Linear,
    LinUpper,
    Llama,
    Lost,
    LowRank,
    SLTrain,
)


def test_importing_the_values_loads_no_torch() -> None:
    code = "import sys, models, models.accounting; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("table", [models.MODELS, models.REWEIGHTS, models.OPTIMISERS, models.LR_SCHEDULES])
def test_every_value_is_plain_json_and_comes_back_equal(table) -> None:
    given = {
        Lost: {"rank": 16, "density": 0.05},
        LowRank: {"rank": 16},
        SLTrain: {"rank": 16, "density": 0.1},
        GaLore: {"rank": 16},
    }
    for kind in table.values():
        sized = {"size": "1m"} if issubclass(kind, Llama) else {}
        value = kind(**sized, **given.get(kind, {}))
        plain = json.loads(json.dumps(dataclasses.asdict(value)))
        assert kind(**plain) == value
        assert hash(kind(**plain)) == hash(value)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 1)


def test_single_entries_of_a_size_can_be_replaced() -> None:
    assert Llama("60m", layers=2, heads=4).shape == SHAPES["60m"]._replace(layers=2, heads=4, kv_heads=4)
    assert Llama("60m", kv_heads=2).shape == SHAPES["60m"]._replace(kv_heads=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Llama("130mb"), "did you mean '130m'"),
        (lambda: Llama("1m", heads=3), "multiple of 2 x heads"),
        (lambda: Llama("1m", layers=0), "at least 1"),
        (lambda: Lost("1m", rank=129, density=0.1), "expected 1 to 128"),
        (lambda: Lost("1m", rank=8, density=1.5), "density: found 1.5"),
        (lambda: Lost("1m", rank=8, density=0.1, gamma=-1.0), "gamma: found -1.0"),
        (lambda: Lost("1m", rank=8, density=0.1, select="l3"), "expected 'l2' or 'l1' or 'random' or 'tail'"),
        (lambda: Lost("1m", rank=8, density=0.1, select="tail"), "needs sparse_svd_rank"),
        (lambda: Lost("1m", rank=8, density=0.1, init="haar"), "needs select='random'"),
        (lambda: Lost("1m", rank=8, density=0.1, scale="exact"), "needs values='residual'"),
        (lambda: LowRank("1m", rank=8, activation="relu"), "expected 'silu' or 'none'"),
        (lambda: SLTrain("1m", rank=8, density=0.0), "between 0 and 1"),
        (lambda: LinUpper(r=0.0), "r: found 0.0"),
        (lambda: LinUpper(warmup=0.8, ramp=0.3), "shares of the run"),
        (lambda: AdamW(lr=-1.0), "lr: found -1.0"),
        (lambda: Cosine(warmup=1.5), "fit into the run"),
        (lambda: Linear(final=2.0), "share of the peak"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("density", "width", "multiple", "kept"),
    [
        (0.0, 100, 1, 0),
        (0.29, 100, 1, 29),
        (0.001, 100, 1, 1),
        (0.05, 128, 8, 8),
        (0.99, 100, 16, 100),
        (1.0, 7, 1, 7),
    ],
)
def test_number_of_kept_channels(density, width, multiple, kept) -> None:
    assert Lost("1m", rank=8, density=density, channel_multiple=multiple).kept(width) == kept
