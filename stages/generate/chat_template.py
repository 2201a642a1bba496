"""A user's message in the chat format that a folder brings, as tokens.

The format is rendered around a mark and the message is put in afterwards, tokenised by itself: so a special token that
somebody typed stays text, and the tokens are those of `pack_samples`.
"""

from __future__ import annotations

from typing import Any

from pipeline.errors import DataError

MARK = "\ue000message\ue000"  # no text of a template


def turn(tokenizer: Any, text: str, place: str) -> list[int]:
    """Ids of a conversation whose first message is the text, up to where the model answers. `tokenizer`: of
    transformers. Raises DataError for a folder without a chat template.
    """
    if not tokenizer.chat_template:
        then = "leave `chat` out, and write the format into the prompt"
        raise DataError(place, "no chat template in the folder", "chat_template in tokenizer_config.json", then)
    message = [{"role": "user", "content": MARK}]
    rendered = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    before, found, after = rendered.partition(MARK)
    if not found or MARK in after:
        raise DataError(place, "a chat template that does not say the user's message once", "one that does")
    parts = [(before, False), (text, True), (after, False)]
    return [
        token
        for part, typed in parts
        for token in tokenizer(part, add_special_tokens=False, split_special_tokens=typed)["input_ids"]
    ]
