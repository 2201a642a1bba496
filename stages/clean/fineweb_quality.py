"""The page rules that FineWeb adds to those of Gopher and C4 (Penedo et al. 2024, arXiv 2406.17557, section 3.6)."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Amount, Count, Share
from pipeline.contract import Node, threshold
from stages.clean.cut import PARITY, Unit, Words
from stages.clean.rules import Rule, RuleNode

RULES = (
    Rule("min_line_ends", "fineweb_line_ends", "float32"),
    Rule("max_short_lines", "fineweb_short_lines", "float32"),
    Rule("max_dup_line_chars", "fineweb_dup_line_chars", "float32"),
    Rule("max_newlines", "fineweb_newlines", "float32"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FinewebQuality(RuleNode):
    """Drop pages that are lists, menus or repeat their lines, by FineWeb's rules; reason `fineweb_quality.<field>`.

    Adds, float32, for the fields of the same name (None turns a rule off):

    fineweb_line_ends       share of lines that end with a mark of a sentence's end, of any script
    fineweb_short_lines     share of lines of at most `short_line` characters
    fineweb_dup_line_chars  share of characters, newlines apart, in lines that stood before
    fineweb_newlines        newlines per word

    Lines are those that are not blank, without the white space around them (with it for `words: datatrove`).

    short_line   characters of a line that counts as short, at most
    words, unit  as in `gopher_quality`
    """

    docs: Node
    min_line_ends: Share | None = threshold(0.12)
    max_short_lines: Share | None = threshold(0.67)
    max_dup_line_chars: Share | None = threshold(0.01)
    max_newlines: Amount | None = threshold(0.3)
    short_line: Count = 30
    words: Words = "whitespace"
    unit: Unit = "auto"

    version = 3
    rules = RULES

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return PARITY if self.words == "datatrove" else ()

    def scores(self, table):
        if self.words == "datatrove":
            from stages.clean.datatrove_pages import fineweb

            return fineweb(table["text"], self.short_line)
        import numpy as np

        from stages.clean import cut as c
        from stages.clean.characters import table as characters
        from stages.clean.repeats import copies
        from stages.loops.cuts import END

        cut = c.cut(table["text"], self.words, self.unit)
        flags, _ = characters()
        ends = (flags[np.maximum(cut.line_facts[:, c.LAST], 0)] & END) != 0
        # an ellipsis character ends no sentence by FineWeb's list of marks
        ends &= cut.line_facts[:, c.LAST] != ord("…")
        lines, _, chars = copies(cut, joined=False)
        newlines = cut.line_span[1] - cut.line_span[0] - 1
        return {
            "fineweb_line_ends": c.ratio(cut.per_line(ends & cut.filled), lines),
            "fineweb_short_lines": c.ratio(
                cut.per_line(cut.filled & (cut.line_facts[:, c.INNER_CHARS] <= self.short_line)), lines
            ),
            "fineweb_dup_line_chars": c.ratio(chars, cut.facts[:, c.CHARS] - newlines),
            "fineweb_newlines": c.ratio(newlines, cut.counts),
        }
