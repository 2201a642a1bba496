"""Pages by their address: listed domains and addresses, and words in an address.

The rules are those of RefinedWeb (Penedo et al. 2023, arXiv 2306.01116, section 3.1 and appendix G.1).

No list comes with this node. Those of the university of Toulouse (UT1, dsi.ut-capitole.fr/blacklists) are folders, one
a subject, each with a file `domains` and perhaps `urls`: name the files you want, `ut1/adult/domains` or `ut1/*/urls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, sources, threshold
from pipeline.errors import RecipeError
from stages.documents import columns_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Url(RowNode):
    """Drop pages whose address is listed; a page without an address stays.

    Lists are text files, one entry a line (`.gz` too; blank lines and those that begin with # are skipped), and the
    digests of the files are part of the node's identity:

    domains   a host, and all hosts below it; reason `url.domain`
    urls      whole addresses, without scheme, `www.` and a slash at the end; `url.exact`
    strict    letters that may stand anywhere in the address, `-` and `.` left out of both; `url.strict`
    hard      words, one of which is enough; `url.hard`
    soft      words; an address with `min_soft_words` different ones is removed; `url.soft`
    allow     hosts that are never removed, and all hosts below them
    column    the column that holds the address
    min_soft_words  different words of the `soft` lists that remove a page
    words     `dclm`: as DCLM's code looks for them. A host is listed if what stands between `//` and the next slash is,
              once every `www` is taken out of it, and no host above it counts (`www.a.org` turns `.a.org`); `-` and `.`
              are left out of the address alone; a word may hold them, and `_` is a letter

    Case does not matter. Adds `url_listed` (string: `domain`, `exact`, `strict`, `hard`; null: none of these) and
    `url_soft_words` int32 (null: no address).
    """

    docs: Node
    column: str = "url"
    domains: tuple[str, ...] = sources(())
    urls: tuple[str, ...] = sources(())
    strict: tuple[str, ...] = sources(())
    hard: tuple[str, ...] = sources(())
    soft: tuple[str, ...] = sources(())
    allow: tuple[str, ...] = sources(())
    words: Literal["unicode", "dclm"] = "unicode"
    min_soft_words: Positive = threshold(2)

    version = 3
    reasons = ("url.domain", "url.exact", "url.strict", "url.hard", "url.soft")
    histograms = {"url_soft_words": (0, 10, 10)}  # noqa: RUF012

    def check(self) -> None:
        if not any((self.domains, self.urls, self.strict, self.hard, self.soft)):
            raise RecipeError("url.domains", "no list at all", "files of domains, urls, strict, hard or soft words")
        if self.column not in columns_of(self.docs):
            raise RecipeError(
                "url.column", f"no column {self.column!r}", "a column of the documents", "read: {keep: [url]}"
            )

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.column,)

    def adds(self):
        return {"url_listed": "string", "url_soft_words": "int32"}

    def open(self, ctx: Context) -> RowFunction:
        from stages.clean.dclm_urls import ListsOfDclm
        from stages.clean.url_lists import Lists

        lists = ListsOfDclm(ctx) if self.words == "dclm" else Lists(ctx)
        return lambda table: Columns(added=lists.look(table[self.column]))

    def decide(self, scores) -> Removed:
        import pyarrow.compute as pc

        listed, soft = scores["url_listed"], scores["url_soft_words"]
        rules = [Removed.where(pc.equal(listed, rule), f"url.{rule}") for rule in ("domain", "exact", "strict", "hard")]
        many = pc.greater_equal(soft, self.min_soft_words)
        return Removed.first([*rules, Removed.where(many, "url.soft", soft, self.min_soft_words)])
