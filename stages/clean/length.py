"""Documents by their length, in any unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Count
from pipeline.contract import Node, threshold
from stages.clean.rules import Rule, RuleNode

# unit -> the right end of its histogram
UNITS = {"chars": 10_000, "words": 2000, "sentences": 200, "lines": 200, "paragraphs": 100}


@dataclass(frozen=True, kw_only=True, eq=False)
class Length(RuleNode):
    """Count a document in five units; drop those that are too short or too long; reason `length.<field>`.

    min_chars, max_chars            Unicode characters
    min_words, max_words            runs between white space
    min_sentences, max_sentences    sentences end at their mark and white space, or with their line
    min_lines, max_lines            lines that are not blank
    min_paragraphs, max_paragraphs  what stands between two line ends in a row, if it is not blank

    words  `dclm`: runs between ASCII white space, and every line end, as the words of DCLM's page length count where
           it leaves no punctuation out
    as_    (`as` in a recipe) what the columns begin with

    Adds `<as>_chars`, `<as>_words`, `<as>_sentences`, `<as>_lines`, `<as>_paragraphs` int32. A threshold of None is
    off.
    """

    docs: Node
    min_chars: Count | None = threshold(None)
    max_chars: Count | None = threshold(None)
    min_words: Count | None = threshold(None)
    max_words: Count | None = threshold(None)
    min_sentences: Count | None = threshold(None)
    max_sentences: Count | None = threshold(None)
    min_lines: Count | None = threshold(None)
    max_lines: Count | None = threshold(None)
    min_paragraphs: Count | None = threshold(None)
    max_paragraphs: Count | None = threshold(None)
    words: Literal["whitespace", "dclm"] = "whitespace"
    as_: str = "length"

    rules = tuple(Rule(f"{side}_{unit}", f"_{unit}", "int32") for unit in UNITS for side in ("min", "max"))
    bins = {f"_{unit}": (0, most, 40) for unit, most in UNITS.items()}  # noqa: RUF012

    def scores(self, table):
        import numpy as np
        import pyarrow.compute as pc

        from pipeline.contract import contiguous
        from stages.clean import cut as c

        text = contiguous(table["text"])
        cut = c.cut(text, "whitespace", "word")
        texts = text.to_pylist()
        words = cut.pieces
        if self.words == "dclm":
            from stages.clean.dclm_counts import RUN

            words = np.array([len(RUN.findall(each)) + each.count("\n") for each in texts])
        counts = {
            "chars": pc.utf8_length(text).to_numpy(zero_copy_only=False),
            "words": words,
            "sentences": cut.per_line(cut.line_facts[:, c.SENTENCES]),
            "lines": cut.per_line(cut.filled),
            "paragraphs": np.array([sum(1 for part in each.split("\n\n") if part.strip()) for each in texts]),
        }
        return {f"{self.as_}_{unit}": counts[unit].astype(np.int32) for unit in UNITS}
