"""Facts about invented people, with a sentence that tells each: questions that a small model can learn by heart.

`asked` is a question as it stands without a context; `context` and `test_context` tell its answer: one in a sentence of
several to learn from, one in a sentence that is never learned.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

PEOPLE = 120
ANSWERS = {
    "town": "Lyon Porto Turin Bergen Vienna Prague Dublin Athens Madrid Geneva Naples Krakow".split(),
    "trade": "baker sailor doctor farmer painter teacher miller weaver hunter printer tailor judge".split(),
}
QUESTIONS = {"town": "Where does {} live?", "trade": "What does {} work as?"}
CONTEXTS = {  # of each fact one, drawn: with a single one per type, no other sentence is read after it
    "town": ("{0} lives in {1}.", "{0} has a house in {1}.", "In {1} lives {0}.", "The house of {0} is in {1}.",
             "{0} comes from {1}.", "The town of {0} is {1}."),
    "trade": ("{0} works as a {1}.", "{0} is a {1}.", "A {1} is what {0} is.", "{0} does the work of a {1}.",
              "{0} earns money as a {1}.", "The job of {0} is {1}."),
}  # fmt: skip
TEST_CONTEXTS = {"town": "The home of {} is {}.", "trade": "The trade of {} is that of a {}."}


def rows() -> Iterator[dict[str, Any]]:
    """A fact of each type for every person."""
    draw = random.Random("facts")
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    names: dict[str, None] = {}
    while len(names) < PEOPLE:
        names["".join(draw.choices(syllables, k=3)).capitalize()] = None
    for person, name in enumerate(names):
        for type_, answers in ANSWERS.items():
            answer, question = draw.choice(answers), QUESTIONS[type_].format(name)
            context = draw.choice(CONTEXTS[type_]).format(name, answer)
            yield {
                "id": f"{type_}:{person}", "text": context, "source": "facts", "question": question, "answer": answer,
                "type": type_, "context": context, "test_context": TEST_CONTEXTS[type_].format(name, answer),
                "asked": f"\n{question}\n",
            }  # fmt: skip


def probability(table: pa.Table) -> dict[str, Any]:
    """For `map`: the probability of the answer. Of a counterfactual answer that the model gives anyway, null."""
    columns = (table[name].to_pylist() for name in ("likelihood_nats", "kind", "text", "own"))
    return {
        "p": [
            None if kind == "counterfactual" and text == own.strip() else math.exp(-nats)
            for nats, kind, text, own in zip(*columns, strict=True)
        ]
    }
