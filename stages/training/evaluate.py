"""Evaluate a model on documents that nothing was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Amount, Count, Positive
from pipeline.contract import Context, Law, Node, Resources, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, ID, SOURCE, columns_of
from stages.tokens.sample import Sample, check_columns
from stages.tokens.tokenizer import ENCODERS
from stages.training.lineage import sees_both_sides
from stages.wants import TrainedNode


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluate(Node):
    """Plain loss and bits per byte of a model on held-out documents, by source, and a few lines that it writes.

    model         a node that gives a model
    docs          the documents to score
    sample_bytes  bytes of text to score, about, by a keyed draw; null = all
    batch_rows    rows at once; part of the identity, since a model's sums depend on it
    which         `held_out`: the held-out documents; `all`: every document, for a test set of your own
    sample        what a document is, as in `pack_samples`: then its answers alone are scored, each behind what stands
                  before it; a long prompt loses its beginning. null = whole documents
    samples       texts to write, after the prompts in turn
    sample_tokens  tokens of a written text, at most
    prompts       beginnings of the texts to write; empty = the model begins by itself
    temperature   of the draws of the texts; 0 = always the likeliest token

    Writes `score/all.json` (totals, sources, texts, the run's description and curves) and `score/all.parquet` (`id`,
    `source`, `nats`, `tokens`, `bytes` of every document). Law: documents = scored + skipped (by reason).
    """

    model: TrainedNode
    docs: Node | tuple[Node, ...]
    which: Literal["held_out", "all"] = "held_out"
    sample_bytes: Positive | None = 10_000_000
    batch_rows: Positive = 16
    threads: Positive = 1
    samples: Count = 3
    sample_tokens: Positive = 60
    temperature: Amount = 0.7
    prompts: tuple[str, ...] = ()
    seed: int = 0
    sample: Sample | None = None

    libraries = ENCODERS
    gives = "evaluation"
    made = ("scored", "documents")

    def check(self) -> None:
        if sees_both_sides(self.model):
            raise RecipeError(
                "evaluate.model", "a model that was trained last to see both sides, whose causal loss says nothing",
                "a causal model", "evaluate the model before its last stage, or export it and fine-tune",
            )  # fmt: skip
        if self.sample is not None:
            check_columns("evaluate.sample", self.sample, self.docs)
            if len(self.sample.roles) > 1:
                raise RecipeError(
                    "evaluate.sample", f"a sample of {', '.join(self.sample.roles)}", "one of one answer",
                    "sample: {answer: {...}} with the column of the answer to score",
                )  # fmt: skip
        if self.which == "held_out" and HELD_OUT not in columns_of(self.docs):
            raise RecipeError(
                "evaluate.docs", "documents without the column held_out", "a node behind a split, or which: all"
            )

    def phases(self):
        law = Law("documents", "documents", ("scored", "skipped."))
        return (TaskPhase(name="score", keys=one, run=self._score, resources=Resources(cpus=self.threads), law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq
        import torch

        from stages.tokens.encoder import Encoder
        from stages.training.results import TrainedModel
        from stages.training.score_texts import documents_in, samples_in
        from stages.training.scoring import DocumentLosses, score_documents

        torch.set_num_threads(self.threads)
        run = TrainedModel.of(ctx)
        model, encoder = run.load().eval(), Encoder.load(run.folder["tokenizer.json"])
        names: list[str] = []
        sources: list[str | None] = []
        parts: list[DocumentLosses] = []
        skipped = {"skipped.not_held_out": 0, "skipped.not_drawn": 0}
        tables = self._documents(ctx, skipped)
        if self.sample is None:
            found = documents_in(tables, encoder)
        else:
            found = samples_in(tables, encoder, self.sample, run, skipped)
        for table, ids, sizes, learned in found:
            parts.append(score_documents(model, ids, sizes, run.begin_id, self.batch_rows, learned))
            names += table[ID].to_pylist()
            sources += table[SOURCE].to_pylist() if SOURCE in table.column_names else [None] * len(ids)
        if not names:
            raise self._nothing(skipped["skipped.not_drawn"])
        scores = DocumentLosses(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("nats", "tokens", "bytes")))
        with ctx.create(".parquet") as path:
            columns = {"id": names, "source": pa.array(sources, pa.string())}
            values = {"nats": scores.nats, "tokens": scores.tokens, "bytes": scores.bytes}
            pq.write_table(pa.table(columns | values), path, compression="zstd")
        by_source = {
            name: _totals(scores.where(np.array([source == name for source in sources])))
            for name in sorted({source for source in sources if source is not None})
        }
        totals = _totals(scores)
        report = {
            "held_out": totals,
            "sources": by_source,
            "texts": self._texts(model, run),
            "run": run.config,
            "curves": run.curves(),
        }
        ctx.write_json(report)
        ctx.log("evaluated", **totals)
        counts = {"documents": len(names) + sum(skipped.values()), "scored": len(names), **skipped}
        return Result(counts=counts, facts=totals)

    def _nothing(self, not_drawn: int) -> DataError:
        """The error of an evaluation that has no document."""
        if not_drawn:
            found, then = f"none of {not_drawn} was drawn", "raise evaluate.sample_bytes"
            return DataError("evaluate.docs", found, "at least one document", then)
        if self.which == "all":
            return DataError("evaluate.docs", "no document to score", "documents that are alive", "siftloom status")
        return DataError("evaluate.docs", "no document to score", "held-out documents", "raise split.held_out")

    def _documents(self, ctx: Context, skipped: dict[str, int]):
        """Tables of the documents to score, in the order of the base."""
        import pyarrow as pa
        import pyarrow.compute as pc

        total = sum(shard.text_bytes for shard in ctx.shards())
        marked = self.which == "held_out"
        share = 1.0
        if self.sample_bytes is not None:
            # of held-out documents the number is known only after reading them, so their bytes are counted first
            if marked:
                total = sum(
                    pc.sum(pc.binary_length(t["text"].filter(pc.fill_null(t[HELD_OUT], False)))).as_py() or 0
                    for _, t in ctx.rows(["text", HELD_OUT])
                )
            share = min(1.0, self.sample_bytes / total) if total else 1.0
        limit = share_limit(share) if share < 1.0 else WHOLE
        columns = [ID, "text", *([HELD_OUT] if marked else []), *([SOURCE] if ctx.has_column(SOURCE) else [])]
        columns += [name for name in (self.sample.columns if self.sample else ()) if name not in columns]
        for _, table in ctx.rows(columns):
            whole = table.num_rows
            if marked:
                table = table.filter(pc.fill_null(table[HELD_OUT], False))
                skipped["skipped.not_held_out"] += whole - table.num_rows
            if limit < WHOLE:
                marks = [int(draw) < limit for draw in draws(table[ID].to_pylist(), self.seed, "evaluate")]
                skipped["skipped.not_drawn"] += len(marks) - sum(marks)
                table = table.filter(pa.array(marks, pa.bool_()))
            if table.num_rows:
                yield table

    def _texts(self, model, run) -> list[dict[str, str]]:
        """Texts that the model writes."""
        from tokenizers import Tokenizer

        from models.generate import TokenSampling, generate
        from stages.tokens.encoder import Encoder

        decoder = Tokenizer.from_file(str(run.folder["tokenizer.json"]))
        encoder = Encoder.load(run.folder["tokenizer.json"])
        prompts = [(self.prompts or ("",))[number % max(1, len(self.prompts))] for number in range(self.samples)]
        starts = [ids.tolist() for ids in encoder.encode(prompts)] if prompts else []
        how = TokenSampling(temperature=self.temperature)
        written = generate(
            model, starts, self.sample_tokens, run.config["end_id"], sampling=how, seed=self.seed, begin_id=run.begin_id
        )
        return [{"prompt": p, "text": decoder.decode(ids)} for p, ids in zip(prompts, written, strict=True)]

    def figures(self, ctx: Context):
        report = ctx.read_json("score")
        label, total = report["run"]["label"], report["held_out"]
        rows = [[name, *_row(values)] for name, values in [("all", total), *sorted(report["sources"].items())][:50]]
        yield {
            "kind": "table",
            "title": f"Held-out text: {label}",
            "columns": ["source", "documents", "bytes", "nats per token", "bits per byte"],
            "rows": rows,
        }
        yield {
            "kind": "text",
            "title": f"Written by {label}",
            "lines": [" ".join((text["prompt"] + text["text"]).split()) for text in report["texts"]],
        }


def _totals(scores) -> dict[str, float | int]:
    return {
        "documents": len(scores.nats),
        "tokens": int(scores.tokens.sum()),
        "bytes": int(scores.bytes.sum()),
        "loss": scores.loss,
        "bits_per_byte": scores.bits_per_byte,
    }


def _row(totals: dict[str, float]) -> list[float]:
    return [totals["documents"], totals["bytes"], round(totals["loss"], 4), round(totals["bits_per_byte"], 4)]
