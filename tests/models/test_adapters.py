"""Adapters on real models: what they train, that they begin as the base, merge, load in `peft`, what they refuse.

`peft` is imported by the tests that ask it: seven CPU seconds, which each process of `pytest -n` would pay to collect.
"""

from __future__ import annotations

import pytest
import torch

from models.accounting import Projection
from models.adapter import PROJECTIONS, attach
from models.adapters.adalora import AdaLora
from models.adapters.bottleneck import Bottleneck
from models.adapters.ia3 import Ia3
from models.adapters.lora import Lora
from models.adapters.norms import Norms
from models.batch import Batch
from models.build import build
from models.convert import export
from models.files import load, save
from models.optim import parameter_groups
from models.optim_config import AdamW
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain
from models.transfer import NoWay, merge, start_from

COUNTS = {  # of `1m` at 1,024 words, 1,066,112 numbers in all
    "lora": (Lora(), 16_384),
    "lora all": (Lora(targets="all", scale="rslora"), 78_848),
    "dora": (Lora(targets="all", dora=True), 84_224),
    "adalora": (AdaLora(), 118_608),
    "ia3": (Ia3(), 2_432),
    "norms": (Norms(), 1_152),
    "bottleneck": (Bottleneck(), 132_608),
    "parallel bottleneck": (Bottleneck(form="parallel", at="mlp"), 66_304),
}
OF_PEFT = {name: adapter for name, (adapter, _) in COUNTS.items() if "bottleneck" not in name}
BASE = "f" * 64


def base(config=None, seed=0):
    return build(config or Llama("1m"), 1024, 64, seed)


def adapted(adapter, config=None, *, moved=False):
    """A model with an adapter; `moved`: as some training would leave it."""
    model = base(config)
    attach(adapter, model, 1, BASE)
    if moved:
        of = torch.Generator().manual_seed(2)
        for parameter in trained(model).values():
            parameter.data.add_(torch.randn(parameter.shape, generator=of), alpha=0.1)
    return model


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def logits(model):
    ids_bt = torch.randint(0, 1024, (2, 24), generator=torch.Generator().manual_seed(0))
    if isinstance(model, torch.nn.Module) and hasattr(model, "max_length"):
        return model(Batch(ids_bt=ids_bt), "logits")
    return model(ids_bt).logits


@pytest.mark.parametrize(("adapter", "count"), COUNTS.values(), ids=COUNTS)
def test_it_trains_so_many_numbers_and_begins_as_its_base(adapter, count):
    model = adapted(adapter)
    assert adapter.count(Llama("1m")) == sum(one.numel() for one in trained(model).values()) == count
    assert torch.equal(logits(model), logits(base()))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("adapter", OF_PEFT.values(), ids=OF_PEFT)
def test_its_count_is_that_of_peft_on_llamas_with_grouped_queries(adapter, kv_heads):
    from peft import get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        theirs = LlamaForCausalLM(
            LlamaConfig(vocab_size=1024, hidden_size=128, intermediate_size=352, num_hidden_layers=4,
                        num_attention_heads=4, num_key_value_heads=kv_heads)
        )  # fmt: skip
        parameters = get_peft_model(theirs, adapter.config()).parameters()
    wide, kv, inner = 128, 32 * kv_heads, 352
    widths = dict(zip(PROJECTIONS, [(wide, wide), (kv, wide), (kv, wide), (wide, wide), (inner, wide), (inner, wide),
                                    (wide, inner)], strict=True))  # fmt: skip
    block = [Projection(f"part.{name}", *of) for name, of in widths.items()]
    count = sum(torch.Size(shape).numel() for shape in adapter.tensors(block, 4, wide))
    assert count == sum(one.numel() for one in parameters if one.requires_grad)


def test_a_start_is_a_function_of_the_seed_and_the_name_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = trained(adapted(Lora(targets="all")))
    assert torch.equal(torch.get_rng_state(), before)
    few = trained(adapted(Lora(targets=("up_proj",))))
    assert all(torch.equal(tensor, one[name]) for name, tensor in few.items())
    assert len({float(tensor.detach().sum()) for name, tensor in one.items() if "lora_A" in name}) == 28


@pytest.mark.parametrize("adapter", OF_PEFT.values(), ids=OF_PEFT)
def test_it_is_saved_loaded_merged_and_loads_in_peft(adapter, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = adapted(adapter, moved=True)
    ours = logits(model)
    assert not torch.allclose(ours, logits(base()), atol=1e-3)
    save(tmp_path / "a.safetensors", model)
    again = load(tmp_path / "a.safetensors")
    assert (again.adapter, again.base, again.config) == (adapter, BASE, Llama("1m"))
    assert torch.equal(logits(again), ours)
    assert trained(again).keys() == trained(model).keys()
    for name in ("base", "adapter"):
        (tmp_path / name).mkdir()
    export(base(), tmp_path / "base")
    again.adapter.write(again, tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    torch.testing.assert_close(logits(theirs), ours, rtol=0, atol=1e-5)
    plain = merge(again)
    torch.testing.assert_close(logits(plain), ours, rtol=0, atol=1e-5)
    assert plain.state_dict().keys() == base().state_dict().keys()
    assert (plain.adapter, plain.base) == (None, None)
    assert torch.equal(logits(start_from(tmp_path / "a.safetensors", Llama("1m"), 1024, 64, 0).model), logits(plain))


@pytest.mark.parametrize(
    "config",
    [Lost("1m", rank=8, density=0.05), Lost("1m", rank=8, density=0.05, activation="none"), LowRank("1m", rank=8),
     SLTrain("1m", rank=8, density=0.05)],
    ids=["lost", "lost without activation", "low rank", "sltrain"],
)  # fmt: skip
def test_lora_sits_beside_every_projection_of_a_factored_model(config, tmp_path):
    adapter = Lora(targets="all")
    model = adapted(adapter, config)
    names = trained(model)
    assert sum(one.numel() for one in names.values()) == adapter.count(config) == 78_848
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in names} == set(PROJECTIONS)
    assert torch.equal(logits(model), logits(base(config)))
    model = adapted(adapter, config, moved=True)
    save(tmp_path / "a.safetensors", model)
    again = load(tmp_path / "a.safetensors")
    assert torch.equal(logits(again), logits(model))
    if not config.merges:
        with pytest.raises(NoWay, match="no plain model"):
            merge(again)
        return
    plain = merge(again)
    torch.testing.assert_close(logits(plain), logits(model), rtol=0, atol=1e-5)
    assert plain.config == Llama("1m")


def test_without_peft_s_hook_it_would_not_sit_there():
    """The hook is a private name of `peft`: what it is for still holds."""
    from peft import inject_adapter_in_model

    with pytest.raises(ValueError, match="not supported"):
        inject_adapter_in_model(Lora().config(), base(Lost("1m", rank=8, density=0.05)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Lora(targets=("q_pro",)), r"'q_pro'.*did you mean 'q_proj'.*or all"),
        (lambda: Lora(targets=("lm_head",)), "'lm_head', which no block has"),
        (lambda: Lora(targets=()), "nothing to train"),
        (lambda: Lora(rank=0), "rank"),
        (lambda: AdaLora(rank=12), "below first_rank"),
        (lambda: AdaLora(begin=0.8), "rising shares"),
        (lambda: Bottleneck(width=0), "width"),
    ],
)
def test_what_cannot_be_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_what_does_not_fit_factors_is_said_and_the_rest_fits():
    lost = Lost("1m", rank=8, density=0.05)
    for adapter in (Ia3(), AdaLora(), Lora(dora=True)):
        found, expected = adapter.unfit(lost)
        assert "Lost" in found
        assert "llama" in expected
        assert adapter.unfit(Llama("1m")) is None
    assert all(adapter.unfit(lost) is None for adapter in (Lora(), Norms(), Bottleneck()))


@pytest.mark.parametrize("form", ["sequential", "parallel"])
def test_a_bottleneck_is_its_formula_and_no_plain_model(form, tmp_path):
    model = adapted(Bottleneck(form=form), moved=True)
    half, x_btd = model.layers[1].mlp, torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y_btd = half.base_layer(x_btd)
        inner = torch.nn.functional.silu(
            (y_btd if form == "sequential" else x_btd) @ half.down.weight.T + half.down.bias
        )
        torch.testing.assert_close(half(x_btd), y_btd + inner @ half.up.weight.T + half.up.bias)
    save(tmp_path / "a.safetensors", model)
    assert torch.equal(logits(load(tmp_path / "a.safetensors")), logits(model))
    with pytest.raises(NoWay, match="Bottleneck, whose output no plain model gives"):
        merge(model)


@pytest.mark.parametrize(("adapter", "count"), COUNTS.values(), ids=COUNTS)
def test_the_optimiser_holds_what_is_trained_and_no_vector_decays(adapter, count):
    model = adapted(adapter)
    groups = parameter_groups(model, AdamW(weight_decay=0.1))
    assert sum(one.numel() for group in groups for one in group["params"]) == count
    for group in groups:
        for one in group["params"]:
            assert (group["weight_decay"] > 0) == (sum(axis > 1 for axis in one.shape) == 2)


@pytest.mark.parametrize("name", ["lora all", "dora", "adalora", "bottleneck"])
def test_a_block_with_it_is_compiled_whole_or_it_says_that_it_is_not(name):
    adapter = COUNTS[name][0]
    assert adapter.compiles == (name != "dora")
    if not adapter.compiles:
        return
    model = adapted(adapter, Llama("1m", layers=1), moved=True)
    before = logits(model)
    model.compiled = True
    for block in model.layers:
        block.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-5)


def test_adalora_s_budget_is_that_of_peft():
    """Twenty updates of two equal models, one under the library's allocator: equal numbers to the bit."""
    from peft.tuners.adalora import RankAllocator

    from models.adapters.rank_budget import cut, numbers, svd_layers

    adapter, steps = AdaLora(first_rank=6, rank=3, begin=0.1, end=0.8, every=2), 20
    ours, theirs = adapted(adapter), adapted(adapter)
    begin, end = adapter.window(steps)
    config = adapter.config()
    config.total_step, config.tinit, config.tfinal, config.deltaT = steps, begin, steps - end, 2
    allocator, pattern = RankAllocator(theirs, config, "default"), None
    for step in range(steps):
        of = torch.Generator().manual_seed(step)
        for (_, one), (_, other) in zip(trained(ours).items(), trained(theirs).items(), strict=True):
            one.grad = torch.randn(one.shape, generator=of)
            other.grad = one.grad.clone()
            for each in (one, other):
                each.data.sub_(each.grad, alpha=0.01)
        cut(ours, adapter, step, steps)
        # as `AdaLoraModel.update_and_allocate` does
        if step <= end:
            pattern = allocator.update_and_allocate(theirs, step, force_mask=step == end)[1] or pattern
        else:
            allocator.mask_using_rank_pattern(theirs, pattern)
        for (name, one), (_, other) in zip(trained(ours).items(), trained(theirs).items(), strict=True):
            assert torch.equal(one, other), (step, name)
    kept = [int((numbers(layer, "lora_E") != 0).sum()) for layer in svd_layers(ours)]
    assert sum(kept) == 3 * len(kept)
    assert len(set(kept)) > 1


def test_adalora_s_penalty_is_that_of_peft():
    from models.adapters.rank_budget import penalise

    adapter = AdaLora(orthogonal=0.5)
    model = adapted(adapter, moved=True)
    for one in trained(model).values():
        one.grad = torch.zeros_like(one)
    penalise(model, 0.5)
    # the sum that `AdaLoraModel.forward` adds to the loss
    total, count = torch.zeros(()), 0
    for name, one in trained(model).items():
        if "lora_A" in name or "lora_B" in name:
            covariance = one @ one.T if "lora_A" in name else one.T @ one
            total, count = total + torch.norm(covariance - torch.eye(*covariance.shape), p="fro"), count + 1
    wanted = torch.autograd.grad(
        0.5 * total / count, [one for name, one in trained(model).items() if "lora_E" not in name]
    )
    found = [one.grad for name, one in trained(model).items() if "lora_E" not in name]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
