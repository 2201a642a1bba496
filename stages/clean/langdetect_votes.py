"""Asking langdetect, a port of Shuyo's language-detection (2010), which C4 and DCLM's form of it take."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from pipeline.errors import MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

NO_LETTERS = frozenset(string.punctuation + " ")


class LangdetectVotes:
    """One vote for each text. Its trials are drawn with seed 0, so that a text has one answer."""

    def __init__(self, max_chars: int) -> None:
        try:
            from langdetect import DetectorFactory, LangDetectException, detect_langs
        except ImportError as error:
            raise MissingExtra(
                "language.detector", str(error), "langdetect", "pip install 'siftloom[parity]'"
            ) from error
        DetectorFactory.seed = 0
        self.detect, self.none, self.max_chars = detect_langs, LangDetectException, max_chars

    def pages(self, text: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """(label, probability) of each text."""
        import pyarrow as pa

        found = [self._one(each[: self.max_chars]) for each in text.to_pylist()]
        return pa.array([label for label, _ in found], pa.string()), pa.array([p for _, p in found], pa.float32())

    def _one(self, text: str) -> tuple[str | None, float]:
        if NO_LETTERS.issuperset(text):
            return None, 0.0
        try:
            best = self.detect(text)[0]
        except (self.none, IndexError):  # a text without letters that it knows
            return None, 0.0
        return best.lang, best.prob
