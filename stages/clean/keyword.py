"""Documents by the terms they use: candidates for a subject, or the bearers of a list of words."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Amount, Count, Positive
from pipeline.contract import Columns, Context, Node, RowFunction, sources, threshold
from pipeline.errors import RecipeError
from stages.clean.rules import Rule, RuleNode


@dataclass(frozen=True, kw_only=True, eq=False)
class Keyword(RuleNode):
    """Count the terms of a list in every document; drop by the counts; reason `keyword.<field>`.

    Tele-Data (Maatouk et al. 2024, arXiv 2409.05314) finds its candidates so, before a model judges them.

    terms, lists  words and phrases; text files of them, one a line (`.gz` too; blank lines and # are skipped)
    whole_words   a letter, a mark or a digit beside a term makes it part of another word; scripts without spaces apart
    ignore_case   of terms and texts alike
    max_chars     how much of a document is looked at, from its beginning
    as_           (`as` in a recipe) what the columns begin with

    Adds `<as>_hits` int32, `<as>_terms` int32 (different ones), `<as>_density` float32 (hits per word of what was
    looked at). A threshold of None is off; with all of them off nothing is removed.
    """

    docs: Node
    terms: tuple[str, ...] = ()
    lists: tuple[str, ...] = sources(())
    whole_words: bool = True
    ignore_case: bool = True
    max_chars: Positive | None = None
    min_hits: Count | None = threshold(None)
    max_hits: Count | None = threshold(None)
    min_terms: Count | None = threshold(None)
    min_density: Amount | None = threshold(None)
    max_density: Amount | None = threshold(None)
    as_: str = "keyword"

    version = 2
    rules = (
        Rule("min_hits", "_hits", "int32"), Rule("max_hits", "_hits", "int32"), Rule("min_terms", "_terms", "int32"),
        Rule("min_density", "_density", "float32"), Rule("max_density", "_density", "float32"),
    )  # fmt: skip

    def check(self) -> None:
        if not (self.terms or self.lists):
            raise RecipeError("keyword.terms", "no term", "words and phrases, or files of them in `lists`")

    @property
    def histograms(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return {self.as_ + "_hits": (0, 100, 50), self.as_ + "_density": (0.0, 0.2, 40)}

    def open(self, ctx: Context) -> RowFunction:
        from stages.clean.terms import Finder, terms_of

        terms = terms_of(ctx, "keyword.terms", self.terms, "lists", self.ignore_case)
        finder = Finder(terms, self.ignore_case, self.whole_words)

        def rows(table) -> Columns:
            hits = finder.find(table["text"], self.max_chars)
            values = (hits.counts(), hits.different(), hits.shares())
            return Columns(added=dict(zip(self.adds(), values, strict=True)))

        return rows
