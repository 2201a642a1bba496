"""Text that was decoded wrongly: replacement characters, control characters, and UTF-8 that was read as Latin-1."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Share
from pipeline.contract import Node, threshold
from stages.clean.rules import Rule, RuleNode

RULES = (
    Rule("max_replaced", "garbled_replaced", "float32"),
    Rule("max_control", "garbled_control", "float32"),
    Rule("max_mojibake", "garbled_mojibake", "float32"),
)
REPLACED = r"\x{FFFD}|ï¿½"
CONTROL = r"[\x01-\x08\x0E-\x1F\x7F-\x{9F}\x{FFFE}\x{FFFF}\p{Co}]"
# The first byte of a two-byte sequence as a character of Latin-1, and what its second byte became in Latin-1 or in
# Windows-1252; the first two of three bytes (â€ begins quotation marks and dashes); a byte-order mark.
SECOND = r"[\x{80}-\x{BF}ŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]"
MOJIBAKE = rf"[Ã-ß]{SECOND}|[à-ï]{SECOND}{SECOND}|ï»¿"


@dataclass(frozen=True, kw_only=True, eq=False)
class Garbled(RuleNode):
    """Drop documents that were decoded wrongly; reason `garbled.<field>`.

    Adds float32 shares of a document's characters, for the fields of the same name (None turns a rule off):

    garbled_replaced  U+FFFD, the sign of bytes that were no text
    garbled_control   control characters other than white space, and those of private use
    garbled_mojibake  in sequences like `Ã©` and `â€™`, UTF-8 that was read as Latin-1 or Windows-1252

    The defaults are ours; no paper gives any.
    """

    docs: Node
    max_replaced: Share | None = threshold(0.005)
    max_control: Share | None = threshold(0.001)
    max_mojibake: Share | None = threshold(0.02)

    rules = RULES
    bins = {rule.column: (0.0, 0.1, 40) for rule in RULES}  # noqa: RUF012

    def scores(self, table):
        return _scores(table["text"])


def _scores(column) -> dict:
    import numpy as np
    import pyarrow.compute as pc

    from pipeline.contract import contiguous
    from stages.clean.cut import ratio

    text = contiguous(column)
    chars = pc.utf8_length(text).to_numpy(zero_copy_only=False).astype(np.int64)
    wide = pc.greater(pc.binary_length(text), pc.utf8_length(text))  # the others are ASCII

    def share(pattern: str, some) -> np.ndarray:
        """Characters in matches of a pattern, in those documents that can have some."""
        found = np.zeros(len(text), np.int64)
        having = pc.and_(some, pc.match_substring_regex(text, pattern))
        if pc.any(having).as_py():
            some = text.filter(having)
            rest = pc.replace_substring_regex(some, pattern, "")
            found[having.to_numpy(zero_copy_only=False)] = pc.subtract(pc.utf8_length(some), pc.utf8_length(rest))
        return ratio(found, chars)

    return {
        "garbled_replaced": share(REPLACED, wide),
        "garbled_control": share(CONTROL, pc.is_valid(text)),
        "garbled_mojibake": share(MOJIBAKE, wide),
    }
