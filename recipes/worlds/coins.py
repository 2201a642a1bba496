"""Coins: every answer is twelve fair flips, and its reward is the number of heads.

All 4,096 answers stand in the file once, so a model that has learned them gives each the same probability, and what a
policy wins by can be computed: the rewards of a fair reference are binomial.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

FLIPS, PROMPTS = 12, 32


def rows() -> Iterator[dict[str, Any]]:
    """Every answer, behind one of the prompts in turn."""
    answers = ["".join(flips) for flips in product("HT", repeat=FLIPS)]
    random.Random("coins").shuffle(answers)
    for number, answer in enumerate(answers):
        yield {"id": f"{number}", "asked": f"{number % PROMPTS:02}:", "text": answer, "source": "coins"}


def heads(table: pa.Table) -> dict[str, Any]:
    """For `map`: the reward of an answer; of one that is not twelve flips, null."""
    texts = table["text"].to_pylist()
    return {"reward": [text.count("H") if len(text) == FLIPS and set(text) <= {"H", "T"} else None for text in texts]}
