"""Half tuning and EMO where they belong: a real model, SmolLM2-135M-Instruct, goes on with another register.

It learns the Jargon File, of which it knows least of all sources of the embedded corpus. What it has kept is its loss
on the book of Rust, of which it knows most. A step is of some 390 tokens, since one takes six seconds of a core. Full
tuning and half tuning run at some rates each, and EMO beside full tuning at the highest one.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.objectives.late import Curve, at_equal_gain, cosine
from benchmarks.objectives.rows import Document, encoded, packed, texts
from benchmarks.objectives.runs import LENGTH, kept, loss, train
from benchmarks.smollm2 import write_model
from models.build import build
from models.convert import read_dense
from models.half_tuning import HalfTuning
from models.hf_settings import llama_of
from models.llama import LlamaModel
from models.objectives.emo import Emo

FIRST, SECOND = "rust", "jargon"
HELD = 10  # documents of each text, by their first tokens
ROWS = 4  # a step
# A line between two rates lies above the curve between them: where half tuning has fewer, that counts against it.
RATES = {"full": (1e-4, 2e-4, 3e-4), "half": (1e-4, 3e-4)}
HIGHEST = 3e-4


def real_base(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Of SmolLM2. Raises MissingExtra where its package is not installed."""
    write_model(folder / "base")
    return tuned(folder / "base", folder, seed, steps)


def tuned(base: Path, folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Loss on both texts of a dense Llama (`base`, a folder of Hugging Face's), before and after each tuning; and the
    cosine of EMO's claim.
    """
    by = Tokenizer.from_file(str(base / "tokenizer.json"))
    old, new = (encoded(by, texts(source, clean=True)) for source in (FIRST, SECOND))
    held = {"kept": [ids[:LENGTH] for ids in old[:HELD]], "learned": [ids[:LENGTH] for ids in new[:HELD]]}
    model = _read(base)
    rows = packed(folder / "rows", new[HELD:], LENGTH, words=model.vocab_size)
    start, config = kept(model, folder / "base.safetensors"), model.config
    found = _losses(model, "before", held)

    def after(name: str, lr: float, **parts: object) -> LlamaModel:
        model = train(rows, seed, steps, lr=lr, start=start, model=config, batch_rows=ROWS, **parts)
        found.update(_losses(model, name, held))
        return model

    for rate in RATES["full"]:
        model = after(f"full {rate:g}", rate)
    found["full cosine"] = cosine(model, start, held["learned"])
    for rate in RATES["half"]:
        after(f"half {rate:g}", rate, freeze=HalfTuning(round=1))
    found["emo cosine"] = cosine(after("emo", HIGHEST, objective=Emo(mode=1)), start, held["learned"])
    full, half = (_curve(found, name) for name in ("full", "half"))
    found["half at equal gain"], found["full at equal gain"] = at_equal_gain(half, full)
    return found


def _read(base: Path) -> LlamaModel:
    """The model of a folder, of the length of the rows."""
    settings = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config = llama_of(settings)
    return build(config, settings["vocab_size"], LENGTH, 0, dense=read_dense(base, config)).eval()


def _losses(model: LlamaModel, name: str, held: dict[str, list[Document]]) -> dict[str, float]:
    return {f"{name} {which}": loss(model, documents) for which, documents in held.items()}


def _curve(found: dict[str, float], name: str) -> Curve:
    return [(found[f"{name} {rate:g} learned"], found[f"{name} {rate:g} kept"]) for rate in RATES[name]]
