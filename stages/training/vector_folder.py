"""What sentence-transformers reads beside a Hugging Face folder: how the states of a text become one vector.

The names are those that its releases from 2 on read. Tokens are filled up at their end and all pooled, and vectors have
unit length, as `embed` makes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

SentencePooling = Literal["mean", "weighted", "last", "first"]
POOLINGS: dict[str, str] = {
    "mean": "pooling_mode_mean_tokens", "weighted": "pooling_mode_weightedmean_tokens",
    "last": "pooling_mode_lasttoken", "first": "pooling_mode_cls_token",
}  # fmt: skip
MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))


def write_modules(folder: Path, pooling: SentencePooling, width: int, length: int) -> None:
    """Write the files into a folder with a model and its tokenizer. A batch takes a token that fills texts up: where
    the tokenizer names none it is the one that ends a text, which no model is shown as such.
    """
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(MODULES)
    ]
    how: dict[str, Any] = {"word_embedding_dimension": width, "include_prompt": True}
    how |= {name: name == POOLINGS[pooling] for name in POOLINGS.values()}
    tokenizer = folder / "tokenizer_config.json"
    settings = json.loads(tokenizer.read_text(encoding="utf-8"))
    if settings.get("pad_token") is None:
        settings["pad_token"] = settings["eos_token"]
    for path, values in (
        ("modules.json", modules), ("1_Pooling/config.json", how), ("2_Normalize/config.json", {}),
        ("sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False}),
        ("config_sentence_transformers.json", {"similarity_fn_name": "cosine"}),
        ("tokenizer_config.json", settings),
    ):  # fmt: skip
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
