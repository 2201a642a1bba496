"""Conversations as samples: what the assistant says is learned, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pipeline.contract import Node
from stages.tokens.sample import NO_ANSWER, Sample, Span

BEGIN, END = "<|im_start|>", "<|im_end|>"
# the same layout for other programs, in the language of chat templates
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}<|im_start|>"
    "{{ message.role + '\\n' + message.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n' }}<|im_start|>{{ 'assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Chat(Sample):
    """The messages of a conversation: a system's, or none, then a user's and an assistant's in turn.

    messages  the column of the messages, a list of {"role": ..., "content": ...} as JSON
    format    `chatml`: each message stands between `<|im_start|>`, with its role and a line break, and `<|im_end|>`
    """

    messages: str = "messages"
    format: Literal["chatml"] = "chatml"

    reasons: ClassVar[tuple[str, ...]] = (NO_ANSWER, "bad_messages", "bad_roles")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.messages,)

    @property
    def needs(self) -> tuple[str, ...]:
        return (BEGIN, END)

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        messages = read_messages(row[self.messages])
        if messages is None:
            return "bad_messages"
        turns = [role for role, _ in messages]
        if turns[:1] == ["system"]:
            turns = turns[1:]
        if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2):
            return "bad_roles"
        if not any(role == "assistant" and text for role, text in messages):
            return NO_ANSWER
        spans: list[Span] = []
        for number, (role, text) in enumerate(messages):
            said = role == "assistant"
            spans += [Span("\n")] * (number > 0)
            spans += [Span(BEGIN, special=True), Span(f"{role}\n"), Span(text, said), Span(END, said, special=True)]
        return {"answer": tuple(spans)}


def read_messages(text: str | None) -> list[tuple[str, str]] | None:
    """Roles and texts of a column of messages; None where it is none."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return None
    if not isinstance(found, list) or not found:
        return None
    messages = []
    for one in found:
        role, text = (one.get("role"), one.get("content")) if isinstance(one, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(text, str):
            return None
        messages.append((role, text))
    return messages


def template_of(model: Node) -> dict[str, str]:
    """The entry of `tokenizer_config.json` that says how a model talks; none where it learned from no such samples."""
    samples = [getattr(rows, "sample", None) for rows, _ in getattr(model, "mixture", ())]
    return {"chat_template": TEMPLATE} if any(isinstance(sample, Chat) for sample in samples) else {}
