"""Documents that regular expressions match: filler text, code, a list of words, whatever has a form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.bounds import Count
from pipeline.contract import Columns, Context, Node, RowFunction, sources, threshold
from stages.clean.expressions import Where, all_of, require_expressions
from stages.clean.rules import Rule, RuleNode


@dataclass(frozen=True, kw_only=True, eq=False)
class Patterns(RuleNode):
    """Count what regular expressions match in a document; drop those with more; reason `patterns.max_matches`.

    patterns, lists  expressions of Python; text files of them, one a line (`.gz` too; blank lines and # are skipped)
    whole_words      a match begins and ends at the border of a word
    where            `start`, `end`: only what stands at the beginning (the end) of the document counts
    lower            texts and lists are taken in lower case, and `patterns` are to be in lower case
    as_              (`as` in a recipe) what the column begins with

    Adds `<as>_matches` int32. `max_matches: null` removes nothing. For lists of plain words, `keyword` is faster.
    """

    docs: Node
    patterns: tuple[str, ...] = ()
    lists: tuple[str, ...] = sources(())
    whole_words: bool = False
    where: Where = "any"
    lower: bool = True
    max_matches: Count | None = threshold(0)
    as_: str = "patterns"

    rules = (Rule("max_matches", "_matches", "int32"),)
    bins = {"_matches": (0, 50, 50)}  # noqa: RUF012

    def check(self) -> None:
        require_expressions(self, self.patterns, self.lists)

    def open(self, ctx: Context) -> RowFunction:
        pattern = f"(?:{all_of(ctx, self.patterns, 'lists', self.lower)})"
        if self.whole_words:
            pattern = rf"\b{pattern}\b"
        found = re.compile({"any": pattern, "start": f"^{pattern}", "end": f"{pattern}$"}[self.where])

        def rows(table) -> Columns:
            import pyarrow as pa

            texts = [text.lower() if self.lower else text for text in table["text"].to_pylist()]
            matches = [sum(1 for _ in found.finditer(text)) for text in texts]
            return Columns(added={self.as_ + "_matches": pa.array(matches, pa.int32())})

        return rows
