"""Packed documents in the formats of other trainers.

    megatron   `<name>.bin` and `<name>.idx`, the indexed dataset of Megatron-LM and NeMo: one sequence a document
    datatrove  `<name>.ds` with `.ds.index` and `.ds.metadata`, which nanotron reads
    parquet    one row a document: `base`, `shard`, `row`, `source`, `input_ids`
    webdataset  `<name>.tar`, one sample a document: `<shard>-<row>.ids.npy`, which the library decodes to an array
    mds         `<name>.mds` and one `index.json`, which MosaicML's `streaming` reads: an array `ids` for each document
    litdata     `<name>.bin` and one `index.json`, which LitData reads with its `TokensLoader`

A document is put together again from its pieces, in the order of the base, without the `<|endoftext|>` that begins it
in packed rows and with the one that ends it, as those trainers expect. Each shard is one set of files, in the store
and, with `to`, in a folder or an object store (`stages.publish`), beside the `tokenizer.json` of the ids.
Ids are uint16 where the vocabulary allows; else Megatron and LitData get int32, which is what they know, and the others
uint32. An index names the files of the target, so a format with one asks for `to`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.contract import ONE, Address, Context, Law, Node, Result, TaskPhase, one, target
from pipeline.errors import RecipeError
from stages.publish import check_target, is_overwritten, publish
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX
from stages.tokens.token_formats import WRITERS, index_of
from stages.tokens.whole_documents import WholeDocuments
from stages.wants import PackedRows

FORMATS = {
    "megatron": (".bin", ".idx"),
    "datatrove": (".ds", ".ds.index", ".ds.metadata"),
    "parquet": (".parquet",),
    "webdataset": (".tar",),
    "mds": (".mds",),
    "litdata": (".bin",),
}
INDEXED = ("mds", "litdata")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportTokens(Node):
    """Write the documents of a pack node for another trainer.

    rows    a pack node without `max_rows`: a draw of rows would cut documents in two
    format  `megatron`, `datatrove`, `parquet`, `webdataset`, `mds` or `litdata`
    to      a folder, or an `s3://` or `gs://` URI, that gets the files too; null = they stay in the store only.
            `mds` and `litdata` ask for one

    Law: documents packed = documents exported. Of tokens: exported = text tokens + one a document.
    """

    rows: PackedRows
    format: Literal["megatron", "datatrove", "parquet", "webdataset", "mds", "litdata"] = "megatron"
    to: str | None = target()

    gives = "files"
    made = ("tokens", "documents")

    def check(self) -> None:
        if (most := getattr(self.rows, "max_rows", None)) is not None:
            raise RecipeError("export_tokens.rows", f"max_rows: {most}", "a pack node of all its rows")
        if getattr(self.rows, "samples", False):
            found = "rows of samples, of which no format of these says what is learned"
            raise RecipeError("export_tokens.rows", found, "rows of `pack`", "pack the documents for it")
        if self.to is None and self.format in INDEXED:
            found = f"nothing, for {self.format}"
            raise RecipeError("export_tokens.to", found, "a folder or a URI: its readers begin with an index of it")
        check_target("export_tokens.to", self.to)

    def phases(self):
        law = Law("documents", "documents", ("exported",))
        files = TaskPhase(name="files", keys=_shards, run=self._export, law=law, fields=("format",))
        copy = TaskPhase(name="target", keys=one, run=self._copy, place="driver")
        return (files,) if self.to is None else (files, copy)

    def _export(self, ctx: Context, key: str) -> Result:
        packed = ctx.result("pack", key, of="rows")
        length = self.rows.length  # pyright: ignore[reportAttributeAccessIssue]
        ids, spans = (ctx.path("pack", key, suffix, of="rows") for suffix in (BIN_SUFFIX, ROWS_SUFFIX))
        documents = WholeDocuments.read(ids, spans, length, packed.facts["dtype"])
        about = WRITERS[self.format](ctx, documents)
        counts = {
            "documents": packed.counts["packed"],
            "exported": len(documents.lengths),
            "tokens": int(documents.lengths.sum()),
            "text_tokens": packed.counts["text_tokens"],
        }
        assert counts["tokens"] == counts["text_tokens"] + counts["exported"], "tokens were lost in the export"
        return Result(counts=counts, facts=about or {})

    def _copy(self, ctx: Context, key: str) -> Result:
        assert self.to is not None
        copies = {
            f"tokens-{i:05d}{ext}": ctx.path("files", shard, ext)
            for i, shard in enumerate(ctx.keys("files"))
            for ext in FORMATS[self.format]
        }
        copies["tokenizer.json"] = ctx.path("meta", ONE[0], "/tokenizer.json", of="rows")
        results = [ctx.result("files", shard) for shard in ctx.keys("files")]
        facts: dict[str, Any] = {name: sum(r.counts[name] for r in results) for name in ("documents", "tokens")}
        about = {f"tokens-{i:05d}{FORMATS[self.format][0]}": result.facts for i, result in enumerate(results)}
        index = index_of(self.format, about)
        manifest = publish(ctx, "export_tokens.to", self.to, copies, index, {"node": ctx.fingerprint(), **facts})
        with ctx.create(".json") as path:
            path.write_bytes(manifest)
        return Result(counts={"files": len(copies) + len(index)})

    def overwritten(self, ctx: Context) -> str | None:
        return "target" if self.to is not None and is_overwritten(ctx, self.to) else None

    def figures(self, ctx: Context):
        results = [ctx.result("files", shard).counts for shard in ctx.keys("files")]
        rows = [[name, sum(r[name] for r in results)] for name in ("documents", "tokens")]
        rows += [["format", self.format], *([["in", Address(self.to).short()]] if self.to else [])]
        table = {"kind": "table", "title": "Exported tokens", "section": "tokens"}
        yield table | {"columns": ["", "value"], "rows": rows}


def _shards(ctx: Context) -> list[str]:
    """The shards that hold a document."""
    return [key for key in ctx.keys("pack", of="rows") if ctx.result("pack", key, of="rows").counts["packed"]]
