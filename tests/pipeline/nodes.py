"""Small real nodes for the tests of the engine: lines of text as documents, and one node of each shape over them."""

from __future__ import annotations

import hashlib
import json
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.contract import (
    Columns,
    Context,
    Law,
    NewShard,
    Node,
    Removed,
    Result,
    RowNode,
    RowPhase,
    ShardPhase,
    TaskPhase,
    one,
    runtime,
    shard_facts,
    sources,
    threshold,
)  # fmt: skip
from pipeline.errors import SourceChanged


def nap(longest: float) -> None:
    """Change the order in which tasks end; no result may depend on it."""
    if longest:
        time.sleep(random.random() * longest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines(Node):
    """Every line of every file is a document; every file is a shard."""

    paths: tuple[str, ...] = sources()
    pause: float = runtime(0.0)

    new_base = "shards"

    def phases(self):
        return (TaskPhase(name="shards", keys=self._keys, run=self._read, law=Law("rows", "rows", ("kept",))),)

    def _keys(self, ctx: Context) -> Sequence[str]:
        return [f"{source.index:04d}" for source in ctx.sources()]

    def _read(self, ctx: Context, key: str) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq

        nap(self.pause)
        source = ctx.sources()[int(key)]
        with ctx.open_source(source) as stream:
            data = stream.read()
        if hashlib.sha256(data).hexdigest() != source.digest:
            raise SourceChanged(source.path, "other bytes", source.digest[:12])
        lines = data.decode().splitlines()
        ids = [f"{source.digest[:12]}:{row}" for row in range(len(lines))]
        table = pa.table({"id": pa.array(ids, pa.string()), "text": pa.array(lines, pa.string())})
        with ctx.create(".parquet") as path:
            pq.write_table(table, path, row_group_size=50)
        size = sum(len(line.encode()) for line in lines)
        shard = NewShard(key=key, rows=len(lines), text_bytes=size, ext=".parquet")
        return Result({"rows": len(lines), "kept": len(lines)}, shard_facts([shard]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Long(RowNode):
    """Drop lines of fewer than `min_chars` characters; leaves a mark in `marks` for every call of the scorer."""

    docs: Node
    min_chars: int = threshold(4)
    unit: str = "char"
    marks: str = runtime("")
    pause: float = runtime(0.0)
    reuse: bool = runtime(True)

    reasons = ("long.short",)
    histograms: ClassVar = {"chars": (0, 40, 8)}

    def phases(self):
        return (RowPhase(open=self.open, needs=self.needs, reuse=self.reuse),)

    def adds(self):
        return {"chars": "int32"}

    def open(self, ctx: Context):
        import pyarrow.compute as pc

        measure = pc.utf8_length if self.unit == "char" else pc.binary_length

        def score(table):
            nap(self.pause)
            if self.marks:
                Path(self.marks, uuid.uuid4().hex).write_text(str(len(table)))
            return Columns(added={"chars": measure(table["text"]).cast("int32")})

        return score

    def decide(self, scores):
        import pyarrow.compute as pc

        short = pc.less(scores["chars"], self.min_chars)
        return Removed.where(short, "long.short", value=scores["chars"], threshold=self.min_chars)


@dataclass(frozen=True, kw_only=True, eq=False)
class Vowels(RowNode):
    """Drop lines whose share of vowels lies outside a range."""

    docs: Node
    least: float = threshold(0.1)
    most: float = threshold(0.77)
    letters: str = "aeiou"
    pause: float = runtime(0.0)

    reasons = ("vowels.few", "vowels.many")

    def adds(self):
        return {"vowels": "float32"}

    def open(self, ctx: Context):
        import pyarrow as pa

        def score(table):
            nap(self.pause)
            texts = table["text"].to_pylist()
            shares = [sum(c in self.letters for c in t.lower()) / len(t) if t else 0.0 for t in texts]
            return Columns(added={"vowels": pa.array(shares, pa.float32())})

        return score

    def decide(self, scores):
        import pyarrow.compute as pc

        share = scores["vowels"]
        return Removed.first(
            [Removed.where(pc.less(share, self.least), "vowels.few", share, self.least),
             Removed.where(pc.greater(share, self.most), "vowels.many", share, self.most)]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip(RowNode):
    """Take the digits out of the text; a line with nothing left is removed."""

    docs: Node
    what: str = r"\d"

    changes_text = True
    reasons = ("strip.empty",)

    def open(self, ctx: Context):
        import pyarrow as pa
        import pyarrow.compute as pc

        def clean(table):
            before = table["text"].combine_chunks()
            after = pc.replace_substring_regex(before, self.what, "")
            changed = pc.if_else(pc.equal(before, after), pa.scalar(None, pa.string()), after)
            return Columns(removed=Removed.where(pc.equal(pc.binary_length(after), 0), "strip.empty"), text=changed)

        return clean


@dataclass(frozen=True, kw_only=True, eq=False)
class Twins(Node):
    """Drop every line whose text stands earlier: keys per shard, one task per range of keys, a mask per shard."""

    docs: Node
    keep_last: bool = False
    ranges: int = 3
    marks: str = runtime("")
    pause: float = runtime(0.0)

    reasons = ("twins.copy",)

    def adds(self):
        return {"duplicate_of": "string"}

    def original_column(self):
        return "duplicate_of"

    def phases(self):
        return (
            ShardPhase(
                name="keys", open=self._keys, needs=("text", "_row", "id"), fields=("ranges",),
                law=Law("rows", "rows", ("keys",)),
            ),
            TaskPhase(name="copies", keys=lambda ctx: [f"{r:02d}" for r in range(self.ranges)], run=self._copies),
            RowPhase(name="mask", open=self._mask, needs=("_row",), per_shard=True),
        )  # fmt: skip

    def _keys(self, ctx: Context):
        nap(self.pause)
        if self.marks:
            Path(self.marks, uuid.uuid4().hex).write_text(ctx.shard.name)
        return _Keys(ctx, self.ranges)

    def _copies(self, ctx: Context, key: str) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq

        nap(self.pause)
        first: dict[str, tuple[str, int, str]] = {}
        copies = []
        shards = list(ctx.shards())
        for shard in reversed(shards) if self.keep_last else shards:
            table = pq.ParquetFile(ctx.path("keys", shard.name, ".parquet")).read_row_group(int(key))
            for row in table.to_pylist():
                known = first.setdefault(row["key"], (shard.name, row["row"], row["id"]))
                if known[2] != row["id"]:
                    copies.append({"shard": shard.name, "row": row["row"], "of": known[2]})
        copies.sort(key=lambda copy: (copy["shard"], copy["row"]))
        schema = pa.schema([("shard", pa.string()), ("row", pa.int64()), ("of", pa.string())])
        with ctx.create(".parquet") as path:
            pq.write_table(pa.Table.from_pylist(copies, schema), path)
        return Result({"copies": len(copies)})

    def _mask(self, ctx: Context):
        import pyarrow as pa
        import pyarrow.parquet as pq

        nap(self.pause)
        of: dict[int, str] = {}
        for key in ctx.keys("copies"):
            for copy in pq.read_table(ctx.path("copies", key, ".parquet")).to_pylist():
                if copy["shard"] == ctx.shard.name:
                    of[copy["row"]] = copy["of"]

        def mask(table):
            found = pa.array([of.get(row) for row in table["_row"].to_pylist()], pa.string())
            return Columns(added={"duplicate_of": found}, removed=Removed.where(found.is_valid(), "twins.copy"))

        return mask


class _Keys:
    def __init__(self, ctx: Context, ranges: int) -> None:
        self.ctx, self.ranges, self.rows = ctx, ranges, []

    def add(self, table):
        for row in table.to_pylist():
            key = hashlib.sha256(row["text"].encode()).hexdigest()[:16]
            self.rows.append({"key": key, "row": row["_row"], "id": row["id"]})

    def finish(self) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("key", pa.string()), ("row", pa.int64()), ("id", pa.string())])
        with self.ctx.create(".parquet") as path, pq.ParquetWriter(path, schema) as writer:
            for number in range(self.ranges):
                mine = [row for row in self.rows if int(row["key"], 16) % self.ranges == number]
                writer.write_table(pa.Table.from_pylist(mine, schema))
        return Result({"rows": len(self.rows), "keys": len(self.rows)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally(Node):
    """Words of all alive rows, counted in one task (in the driver, or in a process of its own)."""

    docs: Node
    place: str = "driver"
    pause: float = runtime(0.0)

    def phases(self):
        driver = self.place == "driver"
        return (TaskPhase(name="tally", keys=one, run=self._count, place="driver" if driver else "task",
                          fresh=not driver),)  # fmt: skip

    def _count(self, ctx: Context, key: str) -> Result:
        nap(self.pause)
        words: dict[str, int] = {}
        rows = 0
        for _, table in ctx.rows(["text"]):
            rows += len(table)
            for text in table["text"].to_pylist():
                for word in text.split():
                    words[word] = words.get(word, 0) + 1
        with ctx.create(".json") as path:
            path.write_text(json.dumps(words, sort_keys=True))
        ctx.log("counted", rows=rows)
        return Result({"rows": rows}, {"words": len(words)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Common(RowNode):
    """Share of a line's words that are among the most frequent of another node's tally: a model applied."""

    docs: Node
    tally: Node
    best: int = 20

    def adds(self):
        return {"common": "float32"}

    def open(self, ctx: Context):
        import pyarrow as pa

        words = json.loads(ctx.path("tally", "all", ".json", of="tally").read_text())
        best = set(sorted(words, key=lambda word: (-words[word], word))[: self.best])

        def score(table):
            shares = [np.mean([w in best for w in t.split()] or [0.0]) for t in table["text"].to_pylist()]
            return Columns(added={"common": pa.array(shares, pa.float32())})

        return score
