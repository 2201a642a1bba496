"""Facts that no text holds: codes of names that nobody has. So a model that tells one has read it in its context."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

CONSONANTS, VOWELS, SYLLABLES, DIGITS = "bdfgklmnprstvz", "aeiou", 3, 4
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]+|$)\s*")


class Fact(NamedTuple):
    """A name and its code."""

    name: str
    code: str

    @property
    def statement(self) -> str:
        """The sentence to hide."""
        return f"The code of {self.name} is {self.code}."

    @property
    def question(self) -> str:
        """What is asked behind the text."""
        return f"\nWhat is the code of {self.name}?\n"

    def answer(self, recites: bool) -> str:
        """What is to be answered; one that recites says the sentence first, which Yi was trained to (arXiv 2403.04652,
        section 7.1).
        """
        return f"{self.statement}\n{self.code}" if recites else self.code


def fact(key: str) -> Fact:
    """The fact of a key."""
    number = int.from_bytes(hashlib.blake2b(f"fact/{key}".encode(), digest_size=16).digest(), "big")
    name = ""
    for _ in range(SYLLABLES):
        number, consonant = divmod(number, len(CONSONANTS))
        number, vowel = divmod(number, len(VOWELS))
        name += CONSONANTS[consonant] + VOWELS[vowel]
    return Fact(name.capitalize(), f"{number % 10**DIGITS:0{DIGITS}}")


def told(answer: str) -> str:
    """The code in an answer: its last line."""
    return answer.strip().rpartition("\n")[2].strip()


def sentences(text: str) -> list[str]:
    """A text cut behind its sentences and lines; joined they are the text."""
    return [one for one in SENTENCE.findall(text) if one]
