"""Exported folders in transformers' hands, offline; the way back; and our own model files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import files
from models.batch import Batch
from models.build import build
from models.convert import export, read_dense
from models.llama import LlamaModel
from models.lost import NotMergeable
from models.optim_config import AdamW
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain
from models.starting import no_way
from models.transfer import NoWay, start_from
from tests.models.calls import logits, losses

WORDS, LENGTH = 200, 64
DENSE = Llama("1m", layers=2)
PLAIN = Lost("1m", layers=2, rank=16, density=0.05, activation="none")
SILU = Lost("1m", layers=2, rank=16, density=0.05)
COLA = LowRank("1m", layers=2, rank=16, activation="silu", init="cola")
SPARSE = SLTrain("1m", layers=2, rank=16, density=0.03)


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, WORDS, (rows, length), generator=torch.Generator().manual_seed(0))


def trained(config: Llama) -> LlamaModel:
    """A few steps off its start, so that no tensor is special."""
    model = build(config, WORDS, LENGTH, seed=0)
    optimiser, batch = AdamW(lr=3e-3).make(model), ids(4, LENGTH + 1)
    for _ in range(5):
        losses(model, batch[:, :-1], batch[:, 1:]).mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return model


def loaded(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The folder through transformers, without a network and with every key accounted for."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import transformers.dynamic_module_utils as dynamic
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(cache))
    model, report = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize("config", [DENSE, PLAIN], ids=repr)
def test_a_model_that_sees_both_sides_is_an_equal_masked_model_without_foreign_code(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoModelForMaskedLM

    model = trained(config).eval()
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "mask_token_id": 1}
    assert export(model, tmp_path, form="bidirectional", special_ids=special) == "bidirectional"
    foreign, report = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert foreign.config.mask_token_id == 1
    shown = ids(3, 40)
    with torch.no_grad():
        ours = model(Batch(ids_bt=shown, attention="bidirectional"), "logits")
        assert (foreign.eval()(shown).logits - ours).abs().max() <= 1e-5
        assert (ours - logits(model, shown)).abs().max() > 1e-2
        # filling at the end is seen by no token
        filled = torch.cat([shown, torch.zeros(3, 9, dtype=torch.long)], 1)
        mask = (torch.arange(49) < 40).expand(3, 49).long()
        assert (foreign(filled, attention_mask=mask).logits[:, :40] - ours).abs().max() <= 1e-5
        states = model(Batch(ids_bt=shown, attention="bidirectional"), "states")
        assert (AutoModel.from_pretrained(tmp_path).eval()(shown).last_hidden_state - states).abs().max() <= 1e-5
    with pytest.raises(NotMergeable):
        export(build(SILU, WORDS, LENGTH, seed=0), tmp_path, form="bidirectional")


@pytest.mark.parametrize(
    ("config", "form", "tolerance"),
    [
        (DENSE, "dense", 1e-5),
        (PLAIN, "dense", 1e-4),
        (SPARSE, "dense", 1e-4),
        (SILU, "factors", 1e-5),
        (COLA, "factors", 1e-5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Llama) else str(value),
)
def test_transformers_computes_the_same_logits(config, form, tolerance, tmp_path, monkeypatch) -> None:
    model = trained(config)
    folder = tmp_path / "model"
    folder.mkdir()
    assert export(model, folder) == form
    theirs = loaded(folder, tmp_path / "modules", monkeypatch)
    batch = ids(2, 40)
    with torch.no_grad():
        ours = logits(model, batch)
        assert (theirs(batch).logits - ours).abs().max() <= tolerance
    assert ours.std() > 0.1
    names = {"dense": "LlamaForCausalLM", "factors": "SiftloomLostForCausalLM"}
    assert type(theirs).__name__ == names[form]


def test_an_exported_model_generates(tmp_path, monkeypatch) -> None:
    """Greedy continuation with transformers' cache equals ours without one."""
    model = trained(SILU)
    folder = tmp_path / "model"
    folder.mkdir()
    export(model, folder, special_ids={"pad_token_id": 0})
    theirs = loaded(folder, tmp_path / "modules", monkeypatch)
    batch = ids(1, 8)
    found = theirs.generate(batch, max_new_tokens=6, do_sample=False)
    with torch.no_grad():
        for _ in range(6):
            batch = torch.cat([batch, logits(model, batch)[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, batch)


def test_factors_can_be_asked_for_where_dense_is_exact(tmp_path, monkeypatch) -> None:
    model = trained(PLAIN)
    folder = tmp_path / "model"
    folder.mkdir()
    assert export(model, folder, form="factors") == "factors"
    theirs = loaded(folder, tmp_path / "modules", monkeypatch)
    batch = ids(2, 40)
    assert (theirs(batch).logits - logits(model, batch)).abs().max() <= 1e-5


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(NotMergeable, match="expected 'factors'"):
        export(build(SILU, WORDS, LENGTH, seed=0), tmp_path, form="dense")
    with pytest.raises(ValueError, match="expected 'dense'"):
        export(build(DENSE, WORDS, LENGTH, seed=0), tmp_path, form="factors")
    assert not list(tmp_path.iterdir())


def test_bf16_export_and_both_spellings_of_the_settings(tmp_path) -> None:
    model = build(PLAIN, WORDS, LENGTH, seed=0)
    export(model, tmp_path, dtype=torch.bfloat16, special_ids={"eos_token_id": 3})
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["rope_theta"] == settings["rope_parameters"]["rope_theta"] == 10_000.0
    assert settings["dtype"] == settings["torch_dtype"] == "bfloat16"
    assert settings["eos_token_id"] == 3
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}


def test_a_dense_folder_comes_back_and_starts_a_lost_model(tmp_path) -> None:
    dense = trained(DENSE)
    export(dense, tmp_path)
    weights = read_dense(tmp_path, DENSE)
    again = build(DENSE, WORDS, LENGTH, seed=9, dense=weights)
    assert all(torch.equal(a, b) for a, b in zip(dense.parameters(), again.parameters(), strict=True))
    exact = Lost("1m", layers=2, rank=128, density=0.05, activation="none", values="residual", scale="exact")
    started = build(exact, WORDS, LENGTH, seed=9, dense=weights)
    batch = ids(2, 40)
    torch.testing.assert_close(logits(started, batch), logits(dense, batch), rtol=0, atol=1e-4)


def test_a_folder_of_another_shape_is_named(tmp_path) -> None:
    export(build(DENSE, WORDS, LENGTH, seed=0), tmp_path)
    with pytest.raises(ValueError, match="num_hidden_layers: found 2, expected 4"):
        read_dense(tmp_path, Llama("1m"))
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"num_key_value_heads": 1}))
    with pytest.raises(ValueError, match="num_key_value_heads: found 1"):
        read_dense(tmp_path, DENSE)


def test_a_folder_of_what_this_llama_has_not_is_named(tmp_path) -> None:
    export(build(DENSE, WORDS, LENGTH, seed=0), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    old = settings | {"rope_scaling": {"type": "linear", "factor": 4.0}}  # transformers before 4.43
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match="rope_type: found linear, expected default"):
        read_dense(tmp_path, DENSE)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    more = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}  # old folders hold it, and it is no weight
    save_file(more, tmp_path / "more.safetensors")
    assert "layers.0.self_attn.q_proj.weight" in read_dense(tmp_path, DENSE)
    # Qwen 2 has biases that no setting speaks of
    save_file({"model.layers.0.self_attn.q_proj.bias": torch.ones(4)}, tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match=r"layers\.0\.self_attn\.q_proj\.bias"):
        read_dense(tmp_path, DENSE)


def test_weights_of_another_vocabulary_are_refused(tmp_path) -> None:
    export(build(DENSE, WORDS, LENGTH, seed=0), tmp_path)
    with pytest.raises(ValueError, match=r"embed_tokens.weight: found shape \(200, 128\), expected \(201, 128\)"):
        build(DENSE, WORDS + 1, LENGTH, seed=0, dense=read_dense(tmp_path, DENSE))


@pytest.mark.parametrize("config", [DENSE, PLAIN, SILU, COLA, SPARSE], ids=lambda config: type(config).__name__)
def test_model_files_are_whole_and_equal_for_equal_models(config, tmp_path) -> None:
    model = trained(config)
    files.save(tmp_path / "a", model)
    files.save(tmp_path / "b", files.load(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = files.load(tmp_path / "a")
    assert again.config == config
    assert again.max_length == LENGTH
    batch = ids(2, 20)
    assert torch.equal(logits(again, batch), logits(model, batch))
    losses(again, batch[:, :-1], batch[:, 1:]).mean().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_a_file_that_contradicts_itself_is_refused(tmp_path) -> None:
    model = build(SILU, WORDS, LENGTH, seed=0)
    path = tmp_path / "model.safetensors"
    name = "layers.0.mlp.up_proj.I"
    files.save(path, model, model.state_dict() | {name: torch.arange(7)})
    with pytest.raises(files.ModelFileError, match="size mismatch"):
        files.load(path)
    files.save(path, model, model.state_dict() | {name: torch.tensor([5, 4, 3, 2, 1, 0])})
    with pytest.raises(files.ModelFileError, match=f"{name}: expected ascending"):
        files.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(files.ModelFileError, match="expected 1"):
        files.load(path)
    path.write_bytes(b"text")
    with pytest.raises(files.ModelFileError, match="not a readable"):
        files.load(path)


def test_a_plan_refuses_the_starts_that_a_training_refuses(tmp_path) -> None:
    tiny = {"hidden": 32, "inter": 48, "layers": 1, "heads": 2}
    configs = [
        Llama("1m", **tiny), LowRank("1m", rank=4, **tiny), LowRank("1m", rank=4, activation="silu", **tiny),
        Lost("1m", rank=4, density=0.1, **tiny), Lost("1m", rank=4, density=0.1, activation="none", **tiny),
        SLTrain("1m", rank=4, density=0.1, **tiny), Llama("1m", **{**tiny, "layers": 2}),
        Llama("1m", rope_theta=5.0, **tiny),
    ]  # fmt: skip
    refused = 0
    for first in configs:
        files.save(tmp_path / "trained.safetensors", build(first, 64, 16, seed=0))
        for wanted in configs:
            reason = no_way(first, wanted)
            refused += reason is not None
            if reason is None:
                assert start_from(tmp_path / "trained.safetensors", wanted, 64, 16, seed=0).model.config == wanted
            else:
                with pytest.raises(NoWay, match=re.escape(reason[0])):
                    start_from(tmp_path / "trained.safetensors", wanted, 64, 16, seed=0)
    assert refused == 39
