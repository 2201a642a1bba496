"""The files of a tokenizer that others have made, and their way back to the user.

Beside its `tokenizer.json` it has a configuration, a chat template, the model of SentencePiece. They travel with the
packed rows and the models, so that an exported folder has them again.
"""

from __future__ import annotations

import shutil
from typing import Any

from pipeline.contract import Context, Of

MAIN = "tokenizer.json"
OTHERS = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
    "chat_template.jinja", "chat_template.json", "tekken.json",
)  # fmt: skip
MODELS = (".model", ".tiktoken")  # SentencePiece's and tiktoken's own endings


def travels(name: str) -> bool:
    """Whether a file of a folder belongs to its tokenizer, its `tokenizer.json` aside."""
    return name in OTHERS or name.endswith(MODELS)


def pass_on(ctx: Context, phase: str, of: Of, fact: str = "tokenizer_files") -> dict[str, Any]:
    """Copy the files that travel, from an input's phase into this task's folder; what its result says of them."""
    names = ctx.result(phase, "all", of=of).facts.get(fact, [])
    for name in names:
        with ctx.create(f"/{name}") as path:
            shutil.copyfile(ctx.path(phase, "all", f"/{name}", of=of), path)
    return {"tokenizer_files": names} if names else {}
