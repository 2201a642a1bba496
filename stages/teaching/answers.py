"""When two short answers are the same one, and where an answer stands in a text."""

from __future__ import annotations

import re
import string

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """An answer without case, punctuation, English articles and further white space, as SQuAD compares them (Rajpurkar
    et al. 2016, arXiv 1606.05250).
    """
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split())


def mentions(answer: str) -> re.Pattern[str]:
    """The places of an answer in a text, whole words in any case. Of a blank answer there is none."""
    words = answer.split()
    if not words:
        return re.compile(r"(?!)")
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
