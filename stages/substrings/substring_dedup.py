"""Spans of words that stand more than once in a corpus, wherever they begin in their documents.

Exact: every run of `length` words is compared with every other, and no order of arrival decides. Sources: Lee et al.,
"Deduplicating training data makes language models better", 2022 (ExactSubstr, spans of 50 tokens, there by a suffix
array); Schleimer, Wilkerson and Aiken, "Winnowing", 2003 (one n-gram stands for many neighbouring windows).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from pipeline.bounds import ShareAboveZero
from pipeline.contract import Context, Node, Phase, RowFunction, RowNode, RowPhase, ShardPhase, threshold
from stages.dedup.phase_files import beyond, opener, tasks


def _files() -> Mapping[str, ModuleType]:
    from stages.substrings import copies, keys, repeats, windows, without_copies

    return {"keys": keys, "repeats": repeats, "windows": windows, "copies": copies, "rows": without_copies}


@dataclass(frozen=True, kw_only=True, eq=False)
class SubstringDedup(RowNode):
    """Take spans of words out of documents that stand elsewhere too.

    length  words of the shortest span that counts
    unit    of words, as in `minhash_dedup`
    match   `words`: equal sequences of lower-cased words; `bytes`: what stands between them is equal too, and their
            case, as code wants it
    keep    `first`: the first occurrence in order of the corpus stays; `none`: none does
    action  `cut`: take the spans out; `drop`: only remove documents, by `share`; `flag`: columns only
    share   with `cut` and `drop`: a document of whose words at least this share is in such spans is removed whole

    A word that is cut takes along what stands between it and the next one. Changes the text; adds `copied_words` int32,
    `copied_share` float32, `copied_from` (id of the document in which the longest span stands first) and
    `copied_spans`: the first ten, as `120-310 ID 40` (words 120 to 309 stand in document ID from word 40 on). Removes
    with `substring_dedup.share`, value = share.
    """

    docs: Node | tuple[Node, ...]
    length: Annotated[int, Ge(2)] = 50
    unit: Literal["word", "char", "auto"] = "auto"
    match: Literal["words", "bytes"] = "words"
    keep: Literal["first", "none"] = threshold("first")
    action: Literal["cut", "drop", "flag"] = threshold("cut")
    share: ShareAboveZero = threshold(1.0)

    reasons = ("substring_dedup.share",)
    histograms: ClassVar[Mapping[str, tuple[float | str, ...]]] = {"copied_share": (0.0, 1.0, 20, "share")}
    hash_fields = ("length", "unit")

    @property
    def changes_text(self) -> bool:  # type: ignore[override]
        return self.action == "cut"

    def adds(self) -> dict[str, str]:
        return {"copied_words": "int32", "copied_share": "float32", "copied_from": "string", "copied_spans": "string"}

    def original_column(self) -> str:
        return "copied_from"

    def phases(self) -> tuple[Phase, ...]:
        matched = (*self.hash_fields, "match")
        return (
            ShardPhase(
                name="keys",
                open=opener(_files, "keys"),
                needs=("text", "id", "_row"),
                fields=self.hash_fields,
                whole=beyond(_files, "keys"),
            ),
            tasks(_files, "repeats", self.hash_fields),
            ShardPhase(name="windows", open=opener(_files, "windows"), needs=("text", "_row"), fields=matched),
            tasks(_files, "copies", (*matched, "keep")),
            RowPhase(name="rows", open=self.open, needs=("text", "_row"), per_shard=True),
        )

    def open(self, ctx: Context) -> RowFunction:
        return opener(_files, "rows")(ctx)

    def figures(self, ctx: Context) -> Sequence[Mapping[str, Any]]:
        from stages.substrings.copies import most_repeated

        return [
            {
                "kind": "table",
                "section": "duplicates",
                "title": "substring_dedup: what stands most often",
                "columns": ["passage", "occurrences"],
                "rows": [[text, copies] for text, copies in most_repeated(ctx)],
            }
        ]

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 256 * 1024 + rows * 60 + text_bytes  # a tenth of the text repeated; at most nine times the text

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 400 * 1024**2 + 4 * min(text_bytes, 128 * 1024**2)
