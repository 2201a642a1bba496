"""Text without addresses and rows of empty lines, after the modifiers of DCLM (Li et al. 2024, arXiv 2406.11794).

Theirs also take bare names of hosts (`example.org`), by a list of top-level domains, and IPv4 addresses, each with the
white space before it; a line of spaces is no empty line to them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, threshold

ADDRESS = r"(?:https?://|www\.)[^\s<>\"]+"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tidy(RowNode):
    """Change the text; a document of which nothing is left goes, reason `tidy.min_left_chars`.

    urls          addresses that begin with http://, https:// or www. are removed
    max_newlines  so many line ends in a row at most; None leaves them

    Adds `tidy_urls` int32 (addresses removed) and `tidy_left_chars` int32.
    """

    docs: Node
    urls: bool = True
    max_newlines: Positive | None = 2
    min_left_chars: Positive = threshold(1)

    version = 2
    needs = ("text",)
    changes_text = True
    reasons = ("tidy.min_left_chars",)
    histograms = {"tidy_urls": (0, 50, 50)}  # noqa: RUF012

    def adds(self):
        return {"tidy_urls": "int32", "tidy_left_chars": "int32"}

    def open(self, ctx: Context) -> RowFunction:
        return self._rows

    def decide(self, scores) -> Removed:
        import pyarrow.compute as pc

        left = scores["tidy_left_chars"]
        return Removed.where(pc.less(left, self.min_left_chars), self.reasons[0], left, self.min_left_chars)

    def _rows(self, table) -> Columns:
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous

        text = contiguous(table["text"])
        new, gone = text, pa.array([0] * len(text), pa.int32())
        if self.urls:
            gone = pc.count_substring_regex(text, ADDRESS).cast(pa.int32())
            new = pc.replace_substring_regex(text, ADDRESS, "")
        if self.max_newlines is not None:
            most = self.max_newlines
            new = pc.replace_substring_regex(new, rf"\n(?:[ \t\r]*\n){{{most},}}", "\n" * most)
        new = pc.utf8_trim_whitespace(new)
        changed = pc.not_equal(new, text)
        added = {"tidy_urls": gone, "tidy_left_chars": pc.utf8_length(new).cast(pa.int32())}
        return Columns(added=added, text=pc.if_else(changed, new, pa.scalar(None, pa.string())))
