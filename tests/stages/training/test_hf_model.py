"""A model of a Hugging Face folder as a node: what it is scored behind, what is exported again, what it cannot be."""

import json

import pyarrow as pa
import pytest
import torch
from local_context import LocalContext
from tokenizers import Tokenizer as Trained
from tokenizers import decoders, models, pre_tokenizers, trainers

from models.build import build
from models.convert import export
from models.presets import Llama
from pipeline.contract import Result
from pipeline.errors import DataError
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.training.card import model_card
from stages.training.evaluate import Evaluate
from stages.training.hf_model import HfModel
from stages.training.results import TrainedModel
from stages.training.special import special_ids, tokenizer_settings
from tests.models.calls import losses

CONFIG = Llama("1m", hidden=32, inter=48, layers=1, heads=2)
BEGIN, END = 5, 3


def folder_of(path, decoder=None, **settings):
    """A folder as others write it: a token that begins and another that ends a text."""
    path.mkdir(parents=True)
    tokenizer = Trained(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoder or decoders.ByteLevel()
    names = [f"<{number}>" for number in range(8)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ["tide"], trainers.BpeTrainer(vocab_size=264, special_tokens=names, initial_alphabet=alphabet)
    )
    tokenizer.save(str(path / "tokenizer.json"))
    export(build(CONFIG, tokenizer.get_vocab_size(), 16, seed=0), path)
    config = json.loads((path / "config.json").read_text())
    ids = {"bos_token_id": BEGIN, "eos_token_id": [END, 4]}
    (path / "config.json").write_text(json.dumps(config | ids | settings))
    return sorted(path.iterdir())


def read(tmp_path, **changes):
    """The node's data, as another node finds them."""
    node = HfModel(paths=("folder/*",))
    ctx = LocalContext(node, tmp_path / "node", files={"paths": folder_of(tmp_path / "folder", **changes)})
    ctx.run_all()
    place = tmp_path / "node" / "train" / "all"
    names = ("config.json", "model.safetensors", "tokenizer.json")
    return node, TrainedModel(json.loads((place / "config.json").read_text()), {name: place / name for name in names})


def test_it_keeps_its_own_special_tokens_and_says_where_it_comes_from(tmp_path):
    node, run = read(tmp_path)
    assert (run.begin_id, run.config["end_id"]) == (BEGIN, END)
    assert special_ids(run, node) == {"bos_token_id": BEGIN, "eos_token_id": END}
    settings = tokenizer_settings(run, node)
    assert (settings["bos_token"], settings["eos_token"]) == ("<5>", "<3>")
    card = model_card(node, run, "dense", "fp32", "f" * 64)
    assert 'tokenizer("<5>Once"' in card
    assert "Trained on" not in card
    assert "`hf_model`" in card


def test_the_other_files_of_its_tokenizer_are_kept(tmp_path):
    template = b"{{ messages }}"
    folder_of(tmp_path / "folder", decoder=decoders.Metaspace())
    (tmp_path / "folder" / "chat_template.jinja").write_bytes(template)
    (tmp_path / "folder" / "README.md").write_text("of the model")
    node = HfModel(paths=("folder/*",))
    ctx = LocalContext(node, tmp_path / "node", files={"paths": sorted((tmp_path / "folder").iterdir())})
    assert ctx.run_all()["all"].facts["tokenizer_files"] == ["chat_template.jinja"]
    assert (tmp_path / "node/train/all/chat_template.jinja").read_bytes() == template


def test_what_the_folder_lacks_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no eos_token_id"):
        read(tmp_path / "a", eos_token_id=None)
    with pytest.raises(DataError, match=r"config\.json, no rms_norm_eps"):
        read(tmp_path / "c", rms_norm_eps=None)


class Evaluation(LocalContext):
    """An evaluation of the model that `read` has read."""

    def path(self, phase, key, ext, of=None):
        return super().path(phase, key, ext) if of is None else self.folder / "node" / phase / f"{key}{ext}"

    def result(self, phase, key, of=None):
        return Result(counts={"models": 1}) if of == "model" else super().result(phase, key)


def evaluate(tmp_path, texts, **fields):
    node = Evaluate(model=HfModel(paths=("folder/*",)), docs=Read(paths=("unread",)), samples=1, **fields)
    docs = {
        "id": [f"d:{i}" for i in range(len(texts))],
        "text": texts,
        "held_out": [bool(fields.get("sample_bytes"))] * len(texts),
    }
    table = pa.table(docs, pa.schema([("id", "string"), ("text", "string"), ("held_out", "bool")]))
    return Evaluation(node, tmp_path, {"docs": table}).run_all()["all"].facts


def test_it_is_scored_behind_the_token_that_begins_its_own_texts(tmp_path):
    _, run = read(tmp_path)
    text = "tide and é"
    ids = torch.tensor([[BEGIN, *Encoder.load(run.folder["tokenizer.json"]).encode([text])[0]]], dtype=torch.int64)
    nats = float(losses(run.load(), ids[:, :-1], ids[:, 1:]).detach().double().sum())
    found = evaluate(tmp_path, [text], which="all")
    assert found["loss"] * found["tokens"] == pytest.approx(nats, rel=1e-5)
    assert found["bytes"] == len(text.encode())


@pytest.mark.parametrize(
    ("fields", "then"),
    [
        ({"which": "all"}, r"no document to score; expected documents"),
        ({"which": "held_out"}, r"expected held-out documents\. Next: raise split\.held_out"),
        (
            {"which": "held_out", "sample_bytes": 1},
            r"none of 3 was drawn; expected .* Next: raise evaluate\.sample_bytes",
        ),
    ],
)
def test_an_evaluation_of_nothing_says_what_to_raise(tmp_path, fields, then):
    read(tmp_path)
    texts = [] if fields == {"which": "all"} else ["a long text " * 50] * 3
    with pytest.raises(DataError, match=then):
        evaluate(tmp_path, texts, **fields)
