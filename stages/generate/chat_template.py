"""A user's message in the chat format that a folder brings, as tokens.

The format is rendered around a mark and the message is put in afterwards, tokenised by itself: so a special token that
somebody typed stays text, and the tokens are those of `pack_samples`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pipeline.errors import DataError
from stages.bounded import Exceeded, call

MARK = "\ue000message\ue000"  # no text of a template


def turn(tokenizer: Any, text: str, place: str) -> list[int]:
    """Ids of a conversation whose first message is the text, up to where the model answers. `tokenizer`: of
    transformers. Raises DataError for a folder without a chat template.
    """
    if not tokenizer.chat_template:
        then = "leave `chat` out, and write the format into the prompt"
        raise DataError(place, "no chat template in the folder", "chat_template in tokenizer_config.json", then)
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise DataError(place, f"{error}", "one chat template, or one called default") from None
    before, after = around(template, json.dumps(tokenizer.special_tokens_map), place)
    parts = [(before, False), (text, True), (after, False)]
    return [
        token
        for part, typed in parts
        for token in tokenizer(part, add_special_tokens=False, split_special_tokens=typed)["input_ids"]
    ]


@cache
def around(template: str, specials: str, place: str) -> tuple[str, str]:
    """What the format puts before and behind a user's message, rendered once in a process with limits: a template is a
    program. Raises DataError.
    """
    messages = [{"role": "user", "content": MARK}]
    given = {"messages": messages, "template": template, "specials": json.loads(specials)}
    try:
        rendered = call("stages.tokens.trial:render", given, seconds=2)  # it takes milliseconds
    except Exceeded as error:
        raise DataError(f"{place}: chat_template", f"{error}", "a template that lays out one message") from None
    before, found, after = rendered.partition(MARK)
    if not found or MARK in after:
        raise DataError(
            f"{place}: chat_template", "a chat template that does not say the user's message once", "one that does"
        )
    return before, after
