"""What is tried of a stranger's tokenizer and chat template, in a process with limits (`stages.bounded`).

A tokenizer is loaded by the libraries that will encode with it, and shown runs of one and two characters, short and
long: letters, digits, blanks, marks and each character that its own expressions name, with another behind. An
expression that takes exponential or cubic time on such a run is found. One that does so on a longer word of its own, or
only beside a certain other text, is not: no trial can show that there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.errors import DataError

SHORT, LONG = 40, 4000
SEEDS = ("a", "A", "0", " ", "\n", "\t", "é", "日", "_", ".", "'", "aA", "a ", "a0", " \n", "a.", "0 ")
TAILS = ("", "!", "\x00")
EXPRESSION = re.compile(r'"Regex"\s*:\s*("(?:[^"\\]|\\.)*")')


def check_tokenizer(text: str, place: str) -> None:
    """Raise DataError for a `tokenizer.json` that does not load, or encodes a plain text in no time that is bounded."""
    from stages.bounded import Exceeded, call

    try:
        call("stages.tokens.trial:encode", text, seconds=9)  # 262,000 tokens take 3.5 on a busy machine
    except Exceeded as error:
        expected = "a tokenizer that loads, and whose expressions end on runs of one character"
        raise DataError(place, f"{error}", expected) from None


def probes(text: str) -> Iterator[str]:
    """The texts that are tried."""
    named: set[str] = set()
    for found in EXPRESSION.findall(text)[:100]:
        named |= {letter for letter in json.loads(found)[:2000] if letter.isalnum()}
    for length in (SHORT, LONG):
        for seed in (*SEEDS, *sorted(named)[:40]):
            # what an expression wants must come later, or a library sees that there is none
            for tail in (*TAILS, " " + "".join(sorted(named))):
                yield (seed * length)[:length] + tail


def encode(text: str) -> None:
    """In the process: encode all that is tried, with both libraries."""
    from tokenizers import Tokenizer

    from stages.tokens.definition import Definition

    for tokenizer in (Tokenizer.from_str(text), Tokenizer.from_str(Definition(text).plain())):
        for probe in probes(text):
            tokenizer.encode(probe, add_special_tokens=False)
    from stages.tokens.kitoken_library import kitoken

    try:
        fast = kitoken().Kitoken.from_tokenizers(Definition(text).plain().encode())
    except ValueError:  # a kind of tokenizer that it does not read
        return
    for probe in probes(text):
        fast.encode(probe, False)


def render(given: dict[str, Any]) -> str:
    """In the process: a conversation in a chat template, as transformers lays it out."""
    from transformers.utils.chat_template_utils import render_jinja_template

    found, _ = render_jinja_template(
        conversations=[given["messages"]], chat_template=given["template"], add_generation_prompt=True,
        **given["specials"],
    )  # fmt: skip
    return found[0]
