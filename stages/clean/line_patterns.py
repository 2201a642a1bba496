"""Lines that regular expressions match: banners, menus, calls to sign in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.bounds import Count, Positive
from pipeline.contract import Columns, Context, Node, RowFunction, sources, threshold
from stages.clean.expressions import Where, all_of, require_expressions
from stages.clean.rules import Rule, RuleNode


@dataclass(frozen=True, kw_only=True, eq=False)
class LinePatterns(RuleNode):
    """Take lines that regular expressions match out of documents; a document without any left goes, reason
    `line_patterns.min_left_chars`.

    patterns, lists  expressions of Python; text files of them, one a line (`.gz` too; blank lines and # are skipped)
    where            `start`, `end`: only what stands at the beginning (the end) of a line counts
    max_words        lines of more words, between white space, are left alone
    only_match       the match alone goes, with one character of white space beside it, and its line if that is all
    ignore_case      of expressions and lines alike
    as_              (`as` in a recipe) what the columns begin with

    The white space at both ends of the document goes. Adds `<as>_lines` int32 (lines gone or changed) and
    `<as>_left_chars` int32.
    """

    docs: Node
    patterns: tuple[str, ...] = ()
    lists: tuple[str, ...] = sources(())
    where: Where = "any"
    max_words: Count | None = None
    only_match: bool = False
    ignore_case: bool = True
    min_left_chars: Positive = threshold(1)
    as_: str = "line_patterns"

    changes_text = True
    rules = (Rule("min_left_chars", "_left_chars", "int32"),)
    bins = {"_left_chars": None, "_lines": (0, 50, 50)}  # noqa: RUF012

    def check(self) -> None:
        require_expressions(self, self.patterns, self.lists)

    def adds(self):
        return {self.as_ + "_lines": "int32", self.as_ + "_left_chars": "int32"}

    def open(self, ctx: Context) -> RowFunction:
        pattern = f"(?:{all_of(ctx, self.patterns, 'lists')})"
        places = {"any": rf"\s?{pattern}", "start": rf"^{pattern}\s?", "end": rf"\s?{pattern}$"}
        edit = self._editor(re.compile(places[self.where], re.IGNORECASE if self.ignore_case else 0))

        def rows(table) -> Columns:
            import pyarrow as pa

            olds = table["text"].to_pylist()
            found = [edit(old) for old in olds]
            added = [pa.array(numbers, pa.int32()) for numbers in ([n for _, n in found], [len(t) for t, _ in found])]
            new = [None if text == old else text for (text, _), old in zip(found, olds, strict=True)]
            return Columns(added=dict(zip(self.adds(), added, strict=True)), text=pa.array(new, pa.string()))

        return rows

    def _editor(self, found: re.Pattern[str]) -> Callable[[str], tuple[str, int]]:
        """Return the function from a text to what is left of it, and the number of lines gone or changed."""

        def looked_at(line: str) -> bool:
            return bool(line) and (self.max_words is None or len(line.split()) <= self.max_words)

        def edit(text: str) -> tuple[str, int]:
            kept, touched = [], 0
            for line in text.split("\n"):
                if not found.search(line) or not looked_at(line):
                    kept.append(line)
                    continue
                touched += 1
                rest = found.sub("", line) if self.only_match else ""
                if rest.strip():
                    kept.append(rest)
            return "\n".join(kept).strip(), touched

        return edit
