"""Small models in Hugging Face folders, with random weights and a tokenizer of their own: real files, in a second."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.build import build
from models.convert import export
from models.presets import Llama

TEXT = ["the cat sat on the mat and the dog sat on the log", "a small text of common words for a small tokenizer"]


def folder_of(place: Path, *, length: int = 64, hidden: int = 32, more: int = 0) -> Path:
    """A causal Llama of this project's own making, as `export` writes it, with `more` rows than its tokenizer."""
    tokenizer = _tokenizer()
    words = tokenizer.get_vocab_size() + more
    model = build(Llama("1m", hidden=hidden, inter=64, layers=2, heads=2), words, length, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():  # further apart, so that no two tokens are as likely as each other
            parameter.mul_(4.0)
    place.mkdir(parents=True)
    export(model, place, special_ids={"bos_token_id": 0, "eos_token_id": 0})
    tokenizer.save(str(place / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<end>", "eos_token": "<end>"}
    (place / "tokenizer_config.json").write_text(json.dumps(settings))
    return place


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer
