"""Text without addresses and rows of empty lines, after the modifiers of DCLM (Li et al. 2024, arXiv 2406.11794).

With `tlds`, a list of top-level domains, addresses go as in DCLM's code: bare names of hosts (`example.org`) and IPv4
addresses too, each with the white space before it. There, names of hosts are looked for only in a text that begins with
the letters of a top-level domain (`The`, `In`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, Node, RowFunction, file, threshold
from stages.clean.expressions import one_of
from stages.clean.rules import Rule, RuleNode

ADDRESS = r"(?:https?://|www\.)[^\s<>\"]+"


RUNS, INNER_DOT = re.compile(r"\s*\S+|\s+"), re.compile(r"\.\S")


def addresses(tlds: Sequence[str]) -> Callable[[str], tuple[str, int]]:
    """The function from a text to it without addresses, and their number, as `url_removal_modifier` of DCLM has it."""
    ends = one_of([tld for tld in tlds if tld])
    rest = r"[-a-zA-Z0-9()@:%_\+.~#?&//=]*"
    begins = re.compile(ends, re.IGNORECASE)
    hosts = re.compile(rf"\s{{0,10}}(?:(?:https?|ftp)://)?[-a-zA-Z0-9@:%._\+~#=]{{1,256}}\.(?:{ends})\b{rest}")
    numbers = re.compile(rf"\s{{0,10}}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{{1,2}}\.){{3}}[0-2]?[0-9]{{1,2}}{rest}")

    def without(text: str) -> tuple[str, int]:
        gone = 0
        if begins.match(text):
            # an address is a part of one run of characters and the white space before it: few runs have a dot inside
            found = [hosts.subn("", run) if INNER_DOT.search(run) else (run, 0) for run in RUNS.findall(text)]
            text, gone = "".join(run for run, _ in found), sum(number for _, number in found)
        text, more = numbers.subn("", text)
        return text, gone + more

    return without


@dataclass(frozen=True, kw_only=True, eq=False)
class Tidy(RuleNode):
    """Change the text; a document of which nothing is left goes, reason `tidy.min_left_chars`.

    urls          addresses that begin with http://, https:// or www. are removed
    max_newlines  so many line ends in a row at most; None leaves them
    tlds          a file of top-level domains, one a line: addresses are found as in DCLM's code
    trim          a line of white space counts as empty, and the white space at both ends of the text goes

    Adds `tidy_urls` int32 (addresses removed) and `tidy_left_chars` int32.
    """

    docs: Node
    urls: bool = True
    max_newlines: Positive | None = 2
    tlds: str = file("")
    trim: bool = True
    min_left_chars: Positive = threshold(1)

    version = 3
    changes_text = True
    rules = (Rule("min_left_chars", "tidy_left_chars", "int32"),)
    bins = {"tidy_left_chars": None, "tidy_urls": (0, 50, 50)}  # noqa: RUF012

    def adds(self):
        return {"tidy_urls": "int32", "tidy_left_chars": "int32"}

    def open(self, ctx: Context) -> RowFunction:
        without = None
        if self.tlds:
            (source,) = ctx.sources("tlds")
            with ctx.open_source(source) as stream:
                without = addresses(stream.read().decode().splitlines())

        def rows(table) -> Columns:
            import pyarrow as pa
            import pyarrow.compute as pc

            from pipeline.contract import contiguous

            text = new = contiguous(table["text"])
            gone = pa.array([0] * len(text), pa.int32())
            if self.urls and without is not None:
                found = [without(old) for old in text.to_pylist()]
                new = pa.array([left for left, _ in found], pa.string())
                gone = pa.array([number for _, number in found], pa.int32())
            elif self.urls:
                gone = pc.count_substring_regex(text, ADDRESS).cast(pa.int32())
                new = pc.replace_substring_regex(text, ADDRESS, "")
            if (most := self.max_newlines) is not None:
                ends = rf"\n(?:[ \t\r]*\n){{{most},}}" if self.trim else rf"\n{{{most + 1},}}"
                new = pc.replace_substring_regex(new, ends, "\n" * most)
            new = pc.utf8_trim_whitespace(new) if self.trim else new
            added = {"tidy_urls": gone, "tidy_left_chars": pc.utf8_length(new).cast(pa.int32())}
            return Columns(added=added, text=pc.if_else(pc.not_equal(new, text), new, pa.scalar(None, pa.string())))

        return rows
