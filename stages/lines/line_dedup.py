"""Lines and paragraphs that stand again and again: menus, cookie notices, licence heads.

Exact counts over the whole corpus, through the same exchange of keys as documents; nothing is forgotten and no order of
arrival decides. Sources: Raffel et al., "T5", 2020, section 2.2 (C4: drop all but one of any repeated span); Wenzek et
al., "CCNet", 2020, section 3.1 (paragraph hashes of normalised text).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal

from annotated_types import Ge

from pipeline.bounds import Positive
from pipeline.contract import Context, Node, Phase, RowFunction, RowNode, RowPhase, ShardPhase, threshold
from pipeline.errors import RecipeError
from stages.dedup.phase_files import beyond, opener, tasks
from stages.documents import columns_of


def _files() -> Mapping[str, ModuleType]:
    from stages.lines import keys, repeats, without_repeats

    return {"keys": keys, "repeats": repeats, "rows": without_repeats}


@dataclass(frozen=True, kw_only=True, eq=False)
class LineDedup(RowNode):
    """Take repeated lines out of documents.

    unit        `line` (split at line feeds) or `paragraph` (split at blank lines; what is left is joined by one)
    match       `words`: equal sequences of lower-cased words; `bytes`: equal but for space around them; `lower`: equal
                but for that and case
    min_words   units of fewer words are never taken out; they are not counted
    min_copies  occurrences in the corpus from which on a unit counts as repeated, also those inside one document
    keep        `first`: the first occurrence in order of the corpus stays; `none`: none does
    first_by    a column; `first` is then the occurrence in the document with the least MD5 of it (DCLM: of its address)

    Changes the text; adds `lines_kept`, `lines_dropped` int32. A document that loses its last unit of `min_words` is
    removed with `line_dedup.empty`, value = units dropped.
    """

    docs: Node | tuple[Node, ...]
    unit: Literal["line", "paragraph"] = "line"
    match: Literal["words", "bytes", "lower"] = "words"
    min_words: Positive = 1
    min_copies: Annotated[int, Ge(2)] = threshold(2)
    keep: Literal["first", "none"] = threshold("first")
    first_by: str | None = None

    version = 3
    reasons = ("line_dedup.empty",)
    changes_text = True
    hash_fields = ("unit", "match", "min_words", "first_by")

    def adds(self) -> dict[str, str]:
        return {"lines_kept": "int32", "lines_dropped": "int32"}

    def phases(self) -> tuple[Phase, ...]:
        return (
            ShardPhase(
                name="keys",
                open=opener(_files, "keys"),
                needs=("text", "_row", *((self.first_by,) if self.first_by else ())),
                fields=self.hash_fields,
                whole=beyond(_files, "keys"),
            ),
            tasks(_files, "repeats", (*self.hash_fields, "min_copies", "keep")),
            RowPhase(name="rows", open=self.open, needs=("text", "_row"), per_shard=True),
        )

    def open(self, ctx: Context) -> RowFunction:
        return opener(_files, "rows")(ctx)

    def figures(self, ctx: Context) -> Sequence[Mapping[str, Any]]:
        from stages.lines.repeats import most_repeated

        return [
            {
                "kind": "table",
                "section": "duplicates",
                "title": "line_dedup: what stands most often",
                "columns": [self.unit, "copies"],
                "rows": [[text, copies] for text, copies in most_repeated(ctx)],
            }
        ]

    def check(self) -> None:
        if self.first_by is not None and self.first_by not in columns_of(self.docs):
            raise RecipeError("line_dedup.first_by", f"no column {self.first_by!r}", "a column of the documents")

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 256 * 1024 + text_bytes // 4 + rows * 8
