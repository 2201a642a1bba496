"""Counts against the published tables, against built modules, and against torch's own operation counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.accounting import (
    count_flops,
    count_parameters,
    parameter_names,
    rank_for_flops,
    rank_for_parameters,
    table_bytes,
)
from models.budget import DCLM, cost, gpu_hours, usual_tokens
from models.build import build, structure
from models.galore import GaLore
from models.memory import state_bytes
from models.muon import Muon
from models.optim_config import AdamW
from models.presets import Llama, Lost, LowRank
from models.shapes import SHAPES, USUAL_RANK
from models.sltrain_config import SLTrain
from tests.models.calls import logits

VOCABULARY = 32_000
# dense, low-rank, SLTrain (density .03; 7b .05), LOST density .01, LOST density .05
COUNTS = {
    "9m": (8_995_968,),
    "60m": (58_073_600, 42_770_944, 43_529_832, 43_016_192, 44_009_472),
    "130m": (134_105_856, 93_997_824, 96_545_796, 94_784_256, 98_206_464),
    "350m": (367_969_280, 185_222_144, 194_293_544, 188_182_016, 200_275_712),
    "1b": (1_339_082_752, 609_310_720, 645_547_960, 621_139_648, 669_520_288),
    "3b": (2_685_831_680,),
    "7b": (6_738_415_616, 2_820_935_680, 3_144_735_808, 2_884_505_600, 3_143_700_480),
}
# decimal GB of the same columns, by the tables' convention
GIGABYTES = {
    "60m": (0.35, 0.26, 0.27, 0.26, 0.26),
    "130m": (0.80, 0.56, 0.60, 0.57, 0.59),
    "350m": (2.21, 1.11, 1.24, 1.13, 1.20),
    "1b": (8.03, 3.66, 4.16, 3.73, 4.02),
    "7b": (40.4, None, None, 17.3, 18.9),
}
# forward operations of the projections relative to dense: low-rank, LOST .01, LOST .05
FLOP_RATIOS = {
    "60m": (0.395, 0.405, 0.444),
    "130m": (0.528, 0.537, 0.577),
    "350m": (0.396, 0.405, 0.445),
    "1b": (0.396, 0.406, 0.446),
    "7b": (0.395, 0.405, 0.445),
}
KEPT = {"60m": (5, 13, 25, 68), "130m": (7, 20, 38, 102), "350m": (10, 27, 51, 136), "1b": (20, 54, 102, 273)}


def columns(size: str) -> list[Llama]:
    if size not in USUAL_RANK:
        return [Llama(size)]
    rank = USUAL_RANK[size]
    return [
        Llama(size),
        LowRank(size, rank=rank),
        SLTrain(size, rank=rank, density=0.05 if size == "7b" else 0.03),
        Lost(size, rank=rank, density=0.01),
        Lost(size, rank=rank, density=0.05),
    ]


@pytest.mark.parametrize("size", COUNTS)
def test_counts_are_the_published_ones_and_those_of_the_module(size) -> None:
    for config, expected in zip(columns(size), COUNTS[size], strict=True):
        counts = count_parameters(config, VOCABULARY)
        assert counts.total == expected
        model = structure(config, VOCABULARY, 256, "meta")
        assert sum(p.numel() for p in model.parameters()) == expected
        assert sum(b.numel() for b in model.buffers()) == counts.indices


@pytest.mark.parametrize(
    "config",
    [
        Llama("1m"), LowRank("1m", rank=4), Lost("1m", rank=4, density=0.1), Lost("1m", rank=4, density=0.0),
        SLTrain("1m", rank=4, density=0.1),
    ],
)  # fmt: skip
def test_names_of_parameters_are_those_of_the_module(config) -> None:
    built = structure(config, 300, 16, device="meta")
    assert sorted(parameter_names(config)) == sorted(name for name, _ in built.named_parameters())


@pytest.mark.parametrize("size", GIGABYTES)
def test_bytes_are_those_of_the_tables(size) -> None:
    for config, expected in zip(columns(size), GIGABYTES[size], strict=True):
        if expected is not None:
            tolerance = 0.02 if size != "7b" else 0.06
            assert table_bytes(config, VOCABULARY) / 1e9 == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("size", FLOP_RATIOS)
def test_operation_ratios_are_those_of_the_formulas(size) -> None:
    dense, low, _, sparse, denser = (count_flops(c, VOCABULARY, 256).projections for c in columns(size))
    ratios = tuple(round(part / dense, 3) for part in (low, sparse, denser))
    assert ratios == FLOP_RATIOS[size]


@pytest.mark.parametrize("size", KEPT)
def test_kept_channels(size) -> None:
    shape = SHAPES[size]
    thin, thick = columns(size)[3:]
    found = (
        thin.kept(shape.hidden),
        thin.kept(shape.inter),
        thick.kept(shape.hidden),
        thick.kept(shape.inter),
    )
    assert found == KEPT[size]


def in_place_addmm(_, left: tuple[int, int], right: tuple[int, int], *, out_shape: object, **kwargs) -> int:
    return 2 * left[0] * left[1] * right[1]


@pytest.mark.parametrize(
    "config",
    [Llama("1m"), LowRank("1m", rank=16, activation="silu"), Lost("1m", rank=16, density=0.05)],
    ids=lambda config: type(config).__name__,
)
def test_operations_are_what_torch_counts(config) -> None:
    vocabulary, rows, length = 300, 2, 16
    model = build(config, vocabulary, length, seed=0)
    ids = torch.zeros(rows, length, dtype=torch.int64)
    # torch's counter sees neither the in-place addmm nor the CPU's fused attention: the first is told to
    # it, the second is left out on both sides
    in_place = {torch.ops.aten.addmm_: in_place_addmm}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter, torch.no_grad():
        logits(model, ids)
    counted = count_flops(config, vocabulary, length)
    by_operator = counter.get_flop_counts()["Global"]
    matmuls = sum(n for op, n in by_operator.items() if "attention" not in str(op))
    assert matmuls == rows * length * (counted.projections + counted.head)
    assert counted.training == 3 * counted.forward


def test_attention_operations_are_the_causal_pairs() -> None:
    shape, length = SHAPES["60m"], 256
    pairs = sum(t + 1 for t in range(length))
    per_pair = 2 * 2 * shape.hidden  # one product with keys, one with values
    flops = count_flops(Llama("60m"), VOCABULARY, length)
    assert flops.attention * length == shape.layers * pairs * per_pair


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_state_bytes_are_those_of_the_fullest_shard(shards) -> None:
    config = Lost("1m", rank=9, density=0.05)
    model = structure(config, 301, 32, "meta")
    held = sum(p.chunk(shards)[0].numel() for p in model.parameters())
    found = state_bytes(config, 301, shards=shards, weight_bytes=2)
    assert (found.weights, found.gradients, found.optimiser) == (2 * held, 4 * held, 8 * held)
    assert found.indices == 8 * sum(b.numel() for b in model.buffers())
    assert found.total == 14 * held + found.indices


def test_equal_parameters_are_met_from_below_and_tightly() -> None:
    target = count_parameters(Lost("60m", rank=96, density=0.05), 1).projections
    rank = rank_for_parameters(LowRank("60m", rank=1), target)
    sizes = [count_parameters(LowRank("60m", rank=r), 1).projections for r in (rank, rank + 1)]
    assert sizes[0] <= target < sizes[1]
    assert rank_for_parameters(LowRank("60m", rank=1), 10) == 0


def test_equal_operations_are_met_from_below_and_tightly() -> None:
    target = count_flops(Lost("60m", rank=96, density=0.05), 1, 1).projections
    rank = rank_for_flops(LowRank("60m", rank=1), target)
    spent = [count_flops(LowRank("60m", rank=r), 1, 1).projections for r in (rank, rank + 1)]
    assert spent[0] <= target < spent[1]
    # entries of a sparse matrix cost a dense product, whatever the rank
    assert rank_for_flops(SLTrain("60m", rank=1, density=0.03), target) == 0


@pytest.mark.parametrize("optimizer", [AdamW(), Muon(), GaLore(rank=8)], ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize(
    "config",
    [Llama("1m"), LowRank("1m", rank=9), Lost("1m", rank=9, density=0.05), SLTrain("1m", rank=9, density=0.05)],
    ids=lambda config: type(config).__name__,
)
def test_state_bytes_are_those_of_a_model_after_a_step(config, optimizer) -> None:
    model = structure(config, 301, 32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data)
        parameter.grad = torch.ones_like(parameter)
    made = optimizer.make(model)
    made.step()
    kept = sum(v.nbytes for state in made.state.values() for v in state.values() if v.ndim)
    assert state_bytes(config, 301, optimizer=optimizer).optimiser == kept


def test_published_hours_are_met_at_their_share_of_the_peak() -> None:
    for run in DCLM:
        assert gpu_hours(6 * run.parameters * run.tokens, run.share) == pytest.approx(run.hours, rel=0.15)


def test_the_cost_of_a_run_is_its_operations_at_the_peaks_share() -> None:
    config = Llama("7b")
    run = cost(config, VOCABULARY, 2048, usual_tokens(config, VOCABULARY), 0.5)
    assert run.tokens == 20 * 6_738_415_616
    assert run.operations == run.tokens * count_flops(config, VOCABULARY, 2048).training
    assert run.hours == pytest.approx(run.operations / 989e12 / 0.5 / 3600)
