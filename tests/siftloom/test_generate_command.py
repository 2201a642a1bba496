"""`siftloom generate`: a node of a run, a trained node's folder and an exported one, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import siftloom

END, TEXT = 0, "the captain of the ship wrote a letter to the house by the river and the family read it aloud " * 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has learnt nothing, as a trained node leaves it."""
    from tokenizers import ByteLevelBPETokenizer

    from models.build import build
    from models.files import save
    from models.presets import Llama

    place = tmp_path_factory.mktemp("model")
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([TEXT], vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.save(str(place / "tokenizer.json"))
    shape = Llama("1m", hidden=32, layers=1, heads=2, inter=64)
    save(place / "model.safetensors", build(shape, vocab_size=300, max_length=64, seed=1))
    (place / "config.json").write_text(json.dumps({"end_id": END}))
    return place


def told(*words: Any, cwd: Path) -> list[str]:
    return json.loads(siftloom("generate", *words, "--json", cwd=cwd).stdout)["texts"]


@pytest.mark.long
def test_a_folder_writes_the_same_texts_for_the_same_seed(folder: Path) -> None:
    asked = (folder, "the captain", "-n", 2, "--tokens", 12)
    one = told(*asked, cwd=folder)
    assert len(one) == 2
    assert one[0] != one[1]
    assert told(*asked, cwd=folder) == one
    assert told(*asked, "--seed", 5, cwd=folder) != one
    assert told(folder, "the captain", "-n", 2, "--tokens", 12, "--temperature", 0, cwd=folder)[0] != one[0]


@pytest.mark.long
def test_an_exported_folder_writes_by_transformers(folder: Path, tmp_path: Path) -> None:
    from models.convert import export
    from models.files import load

    export(load(folder / "model.safetensors"), tmp_path, special_ids={"bos_token_id": END, "eos_token_id": END})
    shutil.copyfile(folder / "tokenizer.json", tmp_path / "tokenizer.json")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "bos_token": "<|endoftext|>",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    likeliest = ("the captain", "--tokens", 8, "--temperature", 0)
    assert len(told(tmp_path, *likeliest, cwd=tmp_path)) == 1


@pytest.mark.long
def test_code_that_a_folder_brings_is_not_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "evil")
    config = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "modeling_siftloom_lost.C", "AutoModelForCausalLM": "x.M"},
    }
    (tmp_path / "evil" / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil" / "modeling_siftloom_lost.py").write_text(f"open({str(tmp_path / 'hit')!r}, 'w')\n")
    siftloom("generate", "evil", "x", cwd=tmp_path, code=1)
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "neither a folder nor a finished node"),
        (["."], "no config.json; expected a folder with"),
        (["MODEL", "x", "--top-p", "2"], "top_p"),
    ],
)
def test_what_is_no_model_is_said(folder: Path, tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "runs").mkdir()
    words = [str(folder) if word == "MODEL" else word for word in words]
    assert says in siftloom("generate", *words, cwd=tmp_path, code=1).stderr
