"""Passages of evaluation sets inside the training documents.

Sources: Brown et al., "GPT-3", 2020, appendix C (word 13-grams). Shorter n-grams for short items find
what 13-grams alone miss; n-grams that many documents hold are boilerplate and match nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from pipeline.bounds import Positive, ShareAboveZero
from pipeline.contract import (
    Context,
    Node,
    Phase,
    RowFunction,
    RowNode,
    RowPhase,
    ShardPhase,
    nothing,
    sources,
    threshold,
)
from pipeline.errors import RecipeError
from stages.dedup.phase_files import opener, tasks


def _files() -> Mapping[str, ModuleType]:
    from stages.decontaminate import findings, hits, items, matches

    return {"items": items, "hits": hits, "matches": matches, "rows": findings}


@dataclass(frozen=True, kw_only=True, eq=False)
class Decontaminate(RowNode):
    """Find documents that hold passages of evaluation items; flag them, drop them, or mask the passages.

    evals        JSON lines (`.gz` and `.zst` too), one item a line; an item is named as a document is: the first 12 hex
                 digits of its file's SHA-256, a colon, the line from 0
    fields       fields of an item that hold its text, each by itself; empty = every string in it
    ngram        words of a passage; n-grams of numbers alone are not searched
    short_ngram  words of a passage of an item that has fewer than `ngram`; items shorter than that are not searched
    unit         of words, as in `minhash_dedup`; both kinds of text are lower-cased and brought to one form (NFKC,
                 without zero-width characters), and only words count
    min_hits     different n-grams of the sets that a document must hold
    boilerplate  n-grams in more than this share of the documents (and in more than 100) are taken for boilerplate
    action       `flag`: columns only; `drop`: remove the document; `mask`: put `mask` in the place of the passages, and
                 remove a document of which nothing but white space is left
    mask         the text that takes the place of a passage

    Adds `eval_hits` int32 (different n-grams found), `eval_items` string (up to five items, by the share of their
    n-grams found, comma between) and `eval_coverage` float32 (the largest such share). Removes with
    `decontaminate.eval`, value = hits. The phase `matches` holds the table of all pairs of item and document.
    """

    docs: Node | tuple[Node, ...]
    evals: tuple[str, ...] = sources()
    fields: tuple[str, ...] = ()
    ngram: Positive = 13
    short_ngram: Positive = 8
    unit: Literal["word", "char", "auto"] = "auto"
    min_hits: Positive = threshold(1)
    boilerplate: ShareAboveZero = threshold(0.001)
    action: Literal["flag", "drop", "mask"] = threshold("flag")
    mask: str = threshold(" ")

    version = 3
    reasons = ("decontaminate.eval",)

    @property
    def changes_text(self) -> bool:  # type: ignore[override]
        return self.action == "mask"

    def adds(self) -> dict[str, str]:
        return {"eval_hits": "int32", "eval_items": "string", "eval_coverage": "float32"}

    def phases(self) -> tuple[Phase, ...]:
        needs = ("_row", "text") if self.changes_text else ("_row",)
        return (
            tasks(_files, "items"),
            ShardPhase(name="hits", open=opener(_files, "hits"), needs=("text", "_row"), whole=nothing),
            tasks(_files, "matches"),
            RowPhase(name="rows", open=self.open, needs=needs, per_shard=True),
        )

    def open(self, ctx: Context) -> RowFunction:
        return opener(_files, "rows")(ctx)

    def figures(self, ctx: Context) -> Sequence[Mapping[str, Any]]:
        facts = ctx.result("matches", "all").facts
        return [
            {
                "kind": "table",
                "section": "duplicates",
                "title": "evaluation items found in most documents",
                "columns": ["item", "documents"],
                "rows": facts["most"],
            },
            {
                "kind": "table",
                "section": "duplicates",
                "title": "evaluation sets",
                "columns": ["set", "items", "found", "too short"],
                "rows": facts["sets"],
            },
        ]

    def check(self) -> None:
        if not self.evals:
            raise RecipeError("decontaminate.evals", "no paths", "JSON-lines files of evaluation items")
        if not 1 <= self.short_ngram <= self.ngram:
            raise RecipeError(
                "decontaminate.short_ngram", f"{self.short_ngram} with ngram {self.ngram}", "between 1 and ngram"
            )
        for name, allowed in (("action", ("flag", "drop", "mask")), ("unit", ("word", "char", "auto"))):
            if getattr(self, name) not in allowed:
                raise RecipeError(f"decontaminate.{name}", f"{getattr(self, name)!r}", f"one of {', '.join(allowed)}")
