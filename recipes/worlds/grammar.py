"""A grammar in which every sentence has a meaning that can be read off: who did what to what, and how many.

A context names who it is about, two numbers of them, and a thing: `3 or 7 sailors, a boat:`. A sentence behind it tells
one of the eight things that may have happened, in one of twenty-four ways. So two sentences behind the same context are
paraphrases of one another one time in eight.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUMBERS = ("2", "3", "4", "5", "6", "7", "8", "9")
AGENTS = (("sailors", "seamen"), ("children", "kids"), ("doctors", "physicians"), ("farmers", "growers"))
ACTIONS = (("bought", "purchased"), ("fixed", "repaired"), ("found", "discovered"), ("painted", "coloured"))
OBJECTS = (("boat", "ship"), ("car", "automobile"), ("house", "home"), ("bag", "sack"))
FORMS = ("{n} {agent} {action} the {object}", "the {object} was {action} by {n} {agent}",
         "it was {n} {agent} who {action} the {object}")  # fmt: skip
CONTEXTS, SENTENCES = 300, 16
WRONG = 0.1  # of the answers of the judge
Meaning = tuple[str, str, str, str]


def rows() -> Iterator[dict[str, Any]]:
    """Sentences behind each context."""
    draw = random.Random("grammar")
    every = [
        (*numbers, agents, things) for numbers in combinations(NUMBERS, 2) for agents in AGENTS for things in OBJECTS
    ]
    for place, (one, other, agents, things) in enumerate(draw.sample(every, CONTEXTS)):
        context = f"{one} or {other} {agents[0]}, a {things[0]}:"
        for number in range(SENTENCES):
            text = draw.choice(FORMS).format(
                n=draw.choice((one, other)), agent=draw.choice(agents), action=draw.choice(draw.choice(ACTIONS)),
                object=draw.choice(things),
            )  # fmt: skip
            yield {"id": f"{place}:{number}", "context": context, "text": text, "source": "grammar"}


def _of(groups: Sequence[tuple[str, ...]]) -> dict[str, str]:
    return {word: group[0] for group in groups for word in group}


AGENT, ACTION, OBJECT = _of(AGENTS), _of(ACTIONS), _of(OBJECTS)


def meaning(text: str) -> Meaning | None:
    """What a sentence of the grammar says; None for any other text."""
    match text.split():
        case [n, agent, action, "the", thing]:
            pass
        case ["the", thing, "was", action, "by", n, agent]:
            pass
        case ["it", "was", n, agent, "who", action, "the", thing]:
            pass
        case _:
            return None
    if n in NUMBERS and agent in AGENT and action in ACTION and thing in OBJECT:
        return n, AGENT[agent], ACTION[action], OBJECT[thing]
    return None


def entails(premises: list[str], hypotheses: list[str]) -> np.ndarray:
    """For `entail` and `diverse`: a judge of entailment that errs. It compares meanings, and one in ten of its answers,
    drawn by the two texts, is the opposite one.
    """
    import numpy as np

    def judged(premise: str, hypothesis: str) -> float:
        digest = hashlib.blake2b(f"{premise}\0{hypothesis}".encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest, "big") / 2**64
        right = meaning(premise) is not None and meaning(premise) == meaning(hypothesis)
        sure = 0.8 + 0.2 * (drawn * 7919 % 1)
        return sure if right is (drawn >= WRONG) else 1 - sure

    return np.array([judged(*pair) for pair in zip(premises, hypotheses, strict=True)], np.float32)


def asked(table: pa.Table) -> dict[str, Any]:
    """For `map`: a sentence as what a paraphrase is asked of."""
    texts = [text.strip() for text in table["text"].to_pylist()]
    return {"x": texts, "asked": [f"{text} =" for text in texts]}


def same(table: pa.Table) -> dict[str, Any]:
    """For `map`: whether `text` says what `x` says, and whether it does so in other words."""
    pairs = [(x.strip(), y.strip()) for x, y in zip(table["x"].to_pylist(), table["text"].to_pylist(), strict=True)]
    found = [meaning(x) is not None and meaning(x) == meaning(y) for x, y in pairs]
    reworded = [right and x != y for right, (x, y) in zip(found, pairs, strict=True)]
    return {"same": found, "reworded": reworded, "asked": [f"{x} =" for x, _ in pairs]}


def context(table: pa.Table) -> dict[str, Any]:
    """For `map`: the context instead of the sentence."""
    return {"text": table["context"]}
