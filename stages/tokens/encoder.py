"""Text to token ids: kitoken encodes, `tokenizers` checks.

kitoken reads the same `tokenizer.json` and is several times faster. Both encode a keyed sample of the documents and, in
every document, the words around a text on which versions of the two were seen to part (`MAY_PART`). Where they part the
ids of `tokenizers` are taken, and the document is counted. A document of the sample stands for a hundred others that
nobody looked at, so after a difference there `tokenizers` encodes everything that follows.

A tokenizer that others have made is encoded by kitoken only after a trial of the two (`stages.tokens.agreement`). It
may split texts at other places than ours do, so a document with such a text is encoded whole by both.

A document that holds the literal text of a special token keeps that text as ordinary text: both encoders are loaded
without the special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from stages.tokens.definition import Definition
from stages.tokens.kitoken_library import kitoken

SAMPLE = 101  # one document in so many is encoded twice, which takes a tenth of the time of encoding
# An apostrophe after white space other than a blank: GPT-2's own rule splits "\n'd" in one library as "\n" and "'d", in
# the other as "\n'" and "d". The apostrophe comes first in the expression, since `re` searches a literal fast.
MAY_PART = re.compile(r"'(?<=[^\S ]')")
# A text may be cut before one of these where no white space precedes: SPLIT, below, takes nothing across that border.
BLANKS = " \n\t\r"
# How our own tokenizers split: on this `tokenizers` and kitoken agree for every character of Unicode.
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Encoder:
    """Encodes documents.

    agree         whether a trial has shown that kitoken gives the ids of `tokenizers`; without one that is known of
                  our own tokenizers alone
    differing     how many documents the two encoders gave different ids for
    differs       the text of the first such document, or None
    is_reference  whether `tokenizers` encodes everything from now on
    """

    def __init__(self, tokenizer_json: str, agree: bool | None = None) -> None:
        from tokenizers import Tokenizer

        self.definition = Definition(tokenizer_json)
        self.special = self.definition.special
        self._ours = self._is_ours()
        self.is_reference = not (self._ours if agree is None else agree)
        plain = self.definition.plain()
        self._fast = None if self.is_reference else kitoken().Kitoken.from_tokenizers(plain.encode())
        self._reference = Tokenizer.from_str(plain)
        self.differing = 0
        self.differs: str | None = None

    @classmethod
    def load(cls, path: Path, agree: bool | None = None) -> Encoder:
        """The encoder of a `tokenizer.json`."""
        return cls(Path(path).read_text(encoding="utf-8"), agree)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return self.definition.vocab_size

    def _is_ours(self) -> bool:
        split = self.definition.split
        return isinstance(split, dict) and split.get("pretokenizers", [{}])[0].get("pattern") == {"Regex": SPLIT}

    def encode(self, texts: Sequence[str], first: int = 0) -> list[np.ndarray]:
        """Ids of each text, uint32. `first` is the number of the first text; the sample depends on it."""
        fast = [] if self._fast is None or self.is_reference else self._fast.encode_all(list(texts), False)
        found = []
        for i, text in enumerate(texts):
            sampled = (first + i) % SAMPLE == 0
            if self.is_reference:
                ids = self._slow(text)
            else:
                ids = fast[i]
                if sampled:
                    ids = self._checked(text, ids, self._slow(text), sampled)
                elif MAY_PART.search(text):
                    truth = self._with_care(text) if self._ours else self._slow(text)
                    ids = self._checked(text, ids, truth, sampled)
            found.append(np.asarray(ids, np.uint32))
        return found

    def _checked(self, text: str, ids: Sequence[int], truth: list[int], sampled: bool) -> Sequence[int]:
        if list(ids) != truth:
            self.differing += 1
            self.differs = self.differs or text
            self.is_reference = sampled
        return truth

    def _with_care(self, text: str) -> list[int]:
        """Ids of a text: of the words where the two may part by `tokenizers`, of what is between them by kitoken."""
        parts, at = [], 0
        for mark in MAY_PART.finditer(text):
            if mark.start() >= at:
                begin, end = _around(text, mark.start())
                parts += [self._fast_one(text[at:begin]), self._slow(text[begin:end])]
                at = end
        return [*chain.from_iterable(parts), *self._fast_one(text[at:])]

    def _fast_one(self, text: str) -> list[int]:
        assert self._fast is not None
        return self._fast.encode(text, False) if text else []

    def _slow(self, text: str) -> list[int]:
        return self._reference.encode(text, add_special_tokens=False).ids

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """Bytes of text that each id stands for, int64 [vocab_size]; special tokens stand for none."""
        return self.definition.token_bytes()


def _around(text: str, at: int) -> tuple[int, int]:
    """Begin and end of the smallest part around a place that begins and ends where a text may be cut."""
    begin, end = at, at + 1
    while begin and not _may_cut(text, begin):
        begin -= 1
    while end < len(text) and not _may_cut(text, end):
        end += 1
    return begin, end


def _may_cut(text: str, at: int) -> bool:
    return text[at] in BLANKS and not text[at - 1].isspace()
