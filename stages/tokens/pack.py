"""Documents to fixed rows of token ids, ready to be memory-mapped.

Per shard of the documents: `pack/<shard>.bin`, rows of `length + 1` ids one after another (little-endian
uint16 when the vocabulary allows, else uint32; no header), and `pack/<shard>.rows.parquet`, which says what
stands in each row. The label of a row's last token lies inside the row, so rows are independent and may be
read in any order. At the end `meta/all.json` numbers the rows of all shards and names dtype, special id and
totals; `meta/all/tokenizer.json` is a copy of the tokenizer, so that models need no other input to be used.

A document stands in the rows as `<|endoftext|>`, its ids, `<|endoftext|>`; with a tokenizer that others have made, as
its own tokens have it. The first token tells the model to begin, the last one is the label that teaches it to stop. Two
documents in one row share no token, so no label and, under `attend: document`, no attention crosses from one to the
other; `PackedRows.take` gives the borders. Documents are packed best-fit over a window inside the shard; one that fits
a row is never cut, and the tail of a cut one is a piece with borders of its own. There is no shuffle:
`stages.training.sampler` orders the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Interval

from pipeline.bounds import Positive
from pipeline.contract import Context, DocumentRow, FinishedNode, Law, Node, Result, ShardPhase, TaskPhase, one
from pipeline.errors import RecipeError
from stages.documents import HALF, HELD_OUT, LANG, SOURCE, TEXT, carried, columns_of
from stages.tokens.definition import Definition
from stages.tokens.tokenizer import ENCODERS, ends_of, pass_on_given, tokenizer_file
from stages.wants import Documents, TokenizerNode

if TYPE_CHECKING:
    from stages.tokens.pack_shard import PackWriter

OPTIONAL = (HELD_OUT, SOURCE, LANG)  # used when the documents carry them
SHARDS_TOGETHER = 64  # in a row group of the barred documents, so that a shard reads its own and few others
OF_SAMPLES = ("sample_group", "sample_role", "sample_learned")
NOT_CARRIED = (TEXT, SOURCE, "row", "tokens", "bytes", *OF_SAMPLES)  # in the rows already, or too long


@dataclass(frozen=True, kw_only=True, eq=False)
class Pack(Node):
    """Pack the alive documents that are not held out into rows of `length` + 1 tokens.

    tokenizer  a `tokenizer` node; of documents with `ids` a `vocabulary` too
    ids       a column of list<int32>, such as `units` adds: the ids of a document, which are packed instead of its text
    length    T, tokens a model sees at once
    window    documents among which the best fit is sought; bounds memory
    holdout   a node with a column `held_out` over the same base: its held-out documents, and the duplicates
              of them that were removed on its way, never enter, though `docs` does not carry the mark
    half      pack the documents of one half only, 0 or 1 (`halves`); null = all
    max_rows  rows to use, a keyed draw (`seed`) of all packed rows; null = all
    carry     columns of the documents that go into `rows.parquet`: a value for each piece, and for numbers the
              mean over the tokens of a row. `log_prior` (`loss_weights`) among them is the prior of a row's weight,
              and `id` lets a training name the documents of a loss spike

    Law: documents = packed + dropped (by reason). Of tokens: tokens = text_tokens + 2 packed.
    """

    docs: Node | tuple[Node, ...]
    tokenizer: TokenizerNode
    length: int = 256
    window: Positive = 100_000
    holdout: Documents | None = None
    half: Annotated[int, Interval(ge=0, le=1)] | None = None
    max_rows: Positive | None = None
    seed: int = 0
    carry: tuple[str, ...] = ()
    ids: str | None = None

    version = 4
    samples: ClassVar[bool] = False  # whether some places of the rows are not learned
    libraries = ENCODERS
    gives = "packed rows"
    made = ("rows", "tokens")
    becomes = "tokens"

    def check(self) -> None:
        if self.half is not None and (self.half not in (0, 1) or HALF not in columns_of(self.docs)):
            found = f"{self.half} of documents " + (
                "with halves" if HALF in columns_of(self.docs) else "without halves"
            )
            raise RecipeError("pack.half", found, "0 or 1, of documents behind a `halves` node")
        if self.length < 2:
            raise RecipeError("pack.length", f"{self.length}", "at least 2 tokens")
        if self.holdout is not None and HELD_OUT not in columns_of(self.holdout):
            raise RecipeError(
                "pack.holdout",
                f"a {self.holdout.kind()} without the column held_out",
                "a node behind a split",
            )

        have = columns_of(self.docs)
        if self.ids is not None and have.get(self.ids) != "list<int32>":
            found = f"{self.ids!r} of type {have[self.ids]}" if self.ids in have else f"no column {self.ids!r}"
            raise RecipeError("pack.ids", found, "a column of list<int32>, as `units` adds it")
        for name in self.carry:
            if name not in have:
                near = get_close_matches(name, have, n=1)
                raise RecipeError(
                    f"pack.carry: {name}",
                    "no column of the documents",
                    f"{near[0]!r}?" if near else "one of " + ", ".join(sorted(have)),
                )
            if name in NOT_CARRIED or not _is_plain(have[name]):
                raise RecipeError(f"pack.carry: {name}", f"a column of type {have[name]}", "a number or a short string")

    def phases(self):
        barred = TaskPhase(name="barred", keys=one, run=self._bar)
        half = () if self.half is None else (HALF,)
        optional = carried(self.docs, *OPTIONAL)
        pack = ShardPhase(
            name="pack",
            open=self._open,
            needs=tuple(dict.fromkeys(("_row", *self.read, *optional, *half, *self.carry))),
            law=Law("documents", "documents", ("packed", "dropped.")),
        )
        return (
            *((barred,) if self.holdout is not None else ()),
            pack,
            TaskPhase(name="meta", keys=one, run=self._meta),
        )

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        from stages.tokens.packed_rows import PackedRows

        meta = json.loads(ctx.path("meta", "all", ".json").read_text())
        packed = PackedRows.described(meta, lambda key, ext: ctx.stored("pack", key, ext))
        rows = packed.rows_of_document(row.shard.base, row.shard.key, row.row)
        return {"state": "packed" if rows else "not packed", "rows": rows}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        # about three bytes of text a token at 4k entries, two bytes an id, and 40 bytes a document in
        # rows.parquet
        return 64 * 1024 + text_bytes * 2 // 3 + rows * 40

    def _bar(self, ctx: Context, key: str) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from stages.tokens.holdout import barred_documents

        found = sorted(barred_documents(ctx, "holdout"))
        table = pa.table(
            {
                "base": pa.array([base for base, _, _ in found], pa.string()),
                "shard": pa.array([key for _, key, _ in found], pa.string()),
                "rows": pa.array([rows for _, _, rows in found], pa.list_(pa.int64())),
            }
        )
        with ctx.create(".parquet") as path:
            pq.write_table(table, path, compression="zstd", row_group_size=SHARDS_TOGETHER)
        return Result(counts={"documents": sum(len(rows) for _, _, rows in found)})

    def _open(self, ctx: Context):
        barred: frozenset[int] = frozenset()
        if self.holdout is not None:
            import pyarrow.parquet as pq

            here = [("base", "==", ctx.shard.base), ("shard", "==", ctx.shard.key)]
            table = pq.read_table(ctx.path("barred", "all", ".parquet"), columns=["rows"], filters=here)
            barred = frozenset(table["rows"].combine_chunks().flatten().to_pylist())
        have = columns_of(self.docs)
        carry = {name: have[name] != "string" for name in self.carry}
        return self.writer(ctx, barred, carry)

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that rows are made of."""
        return (TEXT,) if self.ids is None else (self.ids,)

    def writer(self, ctx: Context, barred: frozenset[int], carry: Mapping[str, bool]) -> PackWriter:
        """What makes the rows of a shard; see `PackWriter`."""
        from stages.tokens.pack_ids import IdsWriter
        from stages.tokens.pack_shard import PackWriter

        if self.ids is not None:
            return IdsWriter(
                ctx, tokenizer_file(ctx), self.length + 1, self.window, barred, carry, self.half, column=self.ids
            )
        return PackWriter(ctx, tokenizer_file(ctx), self.length + 1, self.window, barred, carry, self.half)

    def _meta(self, ctx: Context, key: str) -> Result:
        import hashlib

        text = tokenizer_file(ctx).read_text(encoding="utf-8")
        definition, ends = Definition(text), ends_of(ctx)
        totals: dict[str, int] = dict.fromkeys(("documents", "packed", "rows", "tokens", "text_tokens", "bytes"), 0)
        shards, dtypes = [], set()
        for shard in ctx.keys("pack"):
            result = ctx.result("pack", shard)
            shards.append({"name": shard, "rows": result.counts["rows"], "first_row": totals["rows"]})
            dtypes.add(result.facts["dtype"])
            for name in totals:
                totals[name] += result.counts[name]
        meta = {
            "format": 2,
            "length": self.length,
            "dtype": dtypes.pop() if dtypes else "uint16",
            "end_id": definition.special[ends.end],
            **({} if ends.begin == ends.end else {"begin_id": definition.special[ends.begin]}),
            "vocab_size": definition.vocab_size,
            "tokenizer_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "draw": None if self.max_rows is None or self.max_rows >= totals["rows"] else [self.max_rows, self.seed],
            "bytes_per_token": round(totals["bytes"] / totals["tokens"], 6) if totals["tokens"] else None,
            **totals,
            "shards": shards,
        }
        assert not dtypes, "shards of one vocabulary differ in dtype"
        ctx.write_json(meta)
        with ctx.create("/tokenizer.json") as path:
            path.write_text(text, encoding="utf-8")
        return Result(counts=totals, facts=pass_on_given(ctx))

    def figures(self, ctx: Context):
        meta = ctx.read_json("meta")
        results = [ctx.result("pack", key) for key in ctx.keys("pack")]
        capacity = meta["rows"] * (self.length + 1)
        rows = [
            ["documents packed", meta["packed"]],
            ["documents dropped", meta["documents"] - meta["packed"]],
            ["documents cut (longer than a row)", sum(r.counts["cut"] for r in results)],
            ["documents on which kitoken and tokenizers differ", sum(r.counts["encoders_differ"] for r in results)],
            ["rows", meta["rows"]],
            ["tokens", meta["tokens"]],
            ["bytes per token", round(meta["bytes_per_token"] or 0.0, 3)],
            ["share of the rows filled", round(meta["tokens"] / capacity, 5) if capacity else 0.0],
        ]
        yield {"kind": "table", "title": "Packed rows", "section": "tokens", "columns": ["", "value"], "rows": rows}
        languages: dict[str, list[int]] = {}
        for result in results:
            for lang, (size, tokens) in result.facts["languages"].items():
                both = languages.setdefault(lang, [0, 0])
                both[0] += size
                both[1] += tokens
        if len(languages) > 1:
            shown = sorted(languages.items(), key=lambda item: (-item[1][0], item[0]))[:20]
            yield {
                "kind": "bars",
                "title": "Bytes per token by language",
                "section": "tokens",
                "labels": [lang for lang, _ in shown],
                "values": [round(size / tokens, 3) if tokens else 0.0 for _, (size, tokens) in shown],
                "unit": "bytes",
            }


def _is_plain(kind: str) -> bool:
    """Whether a column of this Arrow type can be carried."""
    return kind in ("string", "bool") or kind.startswith(("int", "uint", "float"))
