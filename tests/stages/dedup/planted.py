"""Documents with planted near copies whose exact Jaccard similarity is known."""

import random

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "m", "l", "nd", "k", "t", "")]


def document(chance: random.Random, length: int = 150) -> list[str]:
    return [chance.choice(WORDS) for _ in range(length)]


def edited(words: list[str], chance: random.Random, edits: int) -> list[str]:
    """`edits` words replaced, far enough apart or not, as chance has it."""
    copy = list(words)
    for _ in range(edits):
        copy[chance.randrange(len(copy))] = chance.choice(WORDS)
    return copy


def jaccard(one: list[str], other: list[str], ngram: int = 5) -> float:
    a, b = ({tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)} for words in (one, other))
    return len(a & b) / len(a | b)


def pairs(seed: int, count: int, length: int = 150) -> list[tuple[str, str, float]]:
    """(document, its edited copy, Jaccard similarity), from 1 to 20 edits."""
    chance = random.Random(seed)
    found = []
    for i in range(count):
        words = document(chance, length)
        copy = edited(words, chance, 1 + i % 20)
        found.append((" ".join(words), " ".join(copy), jaccard(words, copy)))
    return found
