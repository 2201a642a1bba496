"""Questions made of pages: the beginning of a page up to the last word of one of its sentences, which is the answer.

So pages are asked about without anybody who writes questions (after LAMBADA, Paperno et al. 2016, arXiv 1606.06031). An
answer tells how well a model knows the way in which a domain writes. It is no question of facts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

END = re.compile(r"(?<=[a-z,] )([a-z]{4,})[.!?](?=\s|$)")  # a word of four letters and more, no name, at an end
LEAST, MOST = 100, 200  # characters that stand before an answer
WORD = re.compile(r"[^\W\d_]+")


def asked(table: pa.Table) -> dict[str, Any]:
    """For `map`: `asked` and `answer` of a page; a page without such a sentence is removed."""
    texts = table["text"].to_pylist()
    ends = [next((end for end in END.finditer(text) if end.start() > LEAST), None) for text in texts]
    return {
        "asked": [end and text[: end.start() - 1][-MOST:] for text, end in zip(texts, ends, strict=True)],
        "answer": [end and f" {end[1]}" for end in ends],
        "removed": [None if end else "no_sentence" for end in ends],
    }


def first_word(table: pa.Table) -> dict[str, Any]:
    """For `map`: of what a model wrote the first word; a text without one stays as it is."""
    words = [WORD.search(text) for text in table["text"].to_pylist()]
    return {"text": [word and word[0] for word in words]}
