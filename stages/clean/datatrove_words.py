"""The Gopher rules as datatrove counts them, for verdicts equal to those of its English filters.

Its words are the tokens of spaCy's rules for English, so that punctuation marks are words. Those rules look at one run
between white space at a time; so every distinct run is cut once, and the numbers of its tokens are put together.
Its lines are those of `str.splitlines`, blank ones among them, its bullets `•` and `-`; paragraphs stand between two or
more newlines; stop words count once each, as they are written; a most frequent n-gram counts if it occurs once, too.

One thing differs: of two repeated n-grams that are spelled alike without the spaces, it takes one for the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.contract import contiguous
from pipeline.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
REMEMBERED = 1_000_000  # runs between white space whose tokens a process keeps


class Tokens:
    """Numbers for the tokens of English text, and the properties of each that the rules need."""

    def __init__(self) -> None:
        try:
            from datatrove.utils.text import PUNCTUATION_SET
            from datatrove.utils.word_tokenizers import load_word_tokenizer

            english = load_word_tokenizer("en")
            self.cut, self.sentences = english.word_tokenize, english.span_tokenize
            self.cut("a")
        except (ImportError, OSError) as error:
            raise MissingExtra(
                "words: datatrove", str(error), "datatrove and spaCy", "pip install 'siftloom[parity]'"
            ) from error
        self.punctuation = PUNCTUATION_SET
        self.runs: dict[str, tuple[int, ...]] = {}
        self.clear()

    def clear(self) -> None:
        self.runs.clear()
        self.numbers: dict[str, int] = {}
        self.facts: list[tuple[int, bool, bool, int]] = []  # characters, more than punctuation, a letter, stop word

    def of(self, run: str) -> tuple[int, ...]:
        found = self.runs.get(run)
        if found is None:
            found = self.runs[run] = tuple([self._number(token) for token in self.cut(run)])
        return found

    def _number(self, token: str) -> int:
        number = self.numbers.setdefault(token, len(self.numbers))
        if number == len(self.facts):
            plain = any(c not in self.punctuation for c in token)
            stop = STOP_WORDS.index(token) if token in STOP_WORDS else -1
            self.facts.append((len(token), plain, any(map(str.isalpha, token)), stop))
        return number


@cache
def _tokens() -> Tokens:
    return Tokens()


def _cut(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the number of every token, int64 [W]; where each text begins, int64 [D + 1]; facts of every number)."""
    import numpy as np

    tokens = _tokens()
    if len(tokens.runs) > REMEMBERED:
        tokens.clear()
    known, ids, offsets = tokens.runs, [], np.zeros(len(texts) + 1, np.int64)
    for i, text in enumerate(texts, start=1):
        for run in text.split():
            ids.extend(known.get(run) or tokens.of(run))
        offsets[i] = len(ids)
    return np.array(ids, np.int64), offsets, np.array(tokens.facts or [(0, False, False, -1)], np.int64)


def quality(text: pa.ChunkedArray | pa.Array) -> dict[str, Any]:
    """The columns of `gopher_quality`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from stages.clean.cut import ratio

    texts = contiguous(text).to_pylist()
    ids, offsets, facts = _cut(texts)
    lengths, plain, letter, stop = (facts[:, i][ids] for i in range(4))

    def total(numbers: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])
        return sums[offsets[1:]] - sums[offsets[:-1]]

    words, plain_words = np.diff(offsets), total(plain)
    lines = [line_counts(each.splitlines()) for each in texts]
    many, bullets, ellipses = np.array(lines, np.int64).reshape(-1, 3).T
    count = lambda symbol: pc.count_substring(contiguous(text), symbol).to_numpy(zero_copy_only=False)  # noqa: E731
    return {
        "gopher_words": plain_words.astype(np.int32),
        "gopher_mean_word": ratio(total(lengths * plain), plain_words),
        "gopher_hashes": ratio(count("#"), words),
        "gopher_ellipses": ratio(count("...") + count("…"), words),
        "gopher_bullet_lines": ratio(bullets, many),
        "gopher_ellipsis_lines": ratio(ellipses, many),
        "gopher_alpha_words": ratio(total(letter), words),
        "gopher_stop_words": np.sum([total(stop == i) > 0 for i in range(len(STOP_WORDS))], axis=0, dtype=np.int32),
        "gopher_skipped": pa.nulls(len(texts), pa.string()),
    }


def line_counts(lines: list[str]) -> tuple[int, int, int]:
    """(lines, those that begin with a bullet, those that end in an ellipsis)."""
    bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
    return len(lines), bullets, sum(line.rstrip().endswith(("...", "…")) for line in lines)


def repetition(text: pa.ChunkedArray | pa.Array) -> dict[str, Any]:
    """The columns of `gopher_repetition`."""
    import numpy as np

    from stages.clean.cut import ratio
    from stages.clean.repeats import ngram_shares
    from stages.clean.rules import TOP

    texts = contiguous(text).to_pylist()
    ids, offsets, facts = _cut(texts)
    lengths = facts[:, 0][ids].astype(np.int32)
    whole = np.array([len(each) for each in texts], np.int64)
    scores = {}
    for name, parts in (
        ("line", [re.split("\n+", each) for each in texts]),
        ("paragraph", [re.split("\n{2,}", each.strip()) for each in texts]),
    ):
        many, found, chars = np.array([copies(each) for each in parts], np.int64).reshape(-1, 3).T
        scores[f"gopher_dup_{name}s"], scores[f"gopher_dup_{name}_chars"] = ratio(found, many), ratio(chars, whole)
    span, steps = np.stack([offsets[:-1], offsets[1:]]), np.ones(len(texts), np.int64)
    shares = ngram_shares(ids.astype(np.uint64), lengths, span, steps, whole)
    sums = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    for n in TOP:
        column = f"gopher_top_{n}gram"
        once = (shares[column] == 0) & (np.diff(offsets) >= n)
        first = sums[np.minimum(offsets[:-1] + n, len(ids))] - sums[offsets[:-1]] + n - 1
        shares[column] = np.where(once, np.minimum(ratio(first, whole), 1), shares[column])
    return {**scores, **shares}


def copies(parts: list[str]) -> tuple[int, int, int]:
    """(parts, those that stood before, their characters)."""
    seen, found, chars = set(), 0, 0
    for part in parts:
        if part in seen:
            found, chars = found + 1, chars + len(part)
        seen.add(part)
    return len(parts), found, chars


def sentences(line: str) -> int:
    """Sentences of a line, by spaCy's rules; nothing is one, too."""
    return max(1, len(_tokens().sentences(line)))


def word_counts(text: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Words of each document, int64."""
    import numpy as np

    return np.diff(_cut(contiguous(text).to_pylist())[1])
