"""Nodes for the measurements: made-up documents, and row functions that cost next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Context, Law, NewShard, Node, Removed, Result, RowNode, TaskPhase, shard_facts

if TYPE_CHECKING:
    import pyarrow as pa

NODES = 5  # of a pass whose cost is measured
SHARDS_A_TASK = 100
WORDS = 20_000  # of the made-up language, in Zipf's proportions


@dataclass(frozen=True, kw_only=True, eq=False)
class Made(Node):
    """`shards` base shards of `rows` documents of about `words` words each."""

    shards: int
    rows: int
    words: int
    seed: int = 0

    new_base = "shards"

    def phases(self):
        law = Law("rows", "rows", ("kept",))
        return (TaskPhase(name="shards", keys=self._keys, run=self._make, law=law),)

    def _keys(self, ctx: Context) -> Sequence[str]:
        return [f"{first:06d}" for first in range(0, self.shards, SHARDS_A_TASK)]

    def _make(self, ctx: Context, key: str) -> Result:
        import pyarrow.parquet as pq

        shards = []
        for number in range(int(key), min(int(key) + SHARDS_A_TASK, self.shards)):
            table = documents(self.rows, self.words, self.seed + number)
            with ctx.create(f"-{number:06d}.parquet") as path:
                pq.write_table(table, path, compression="zstd", row_group_size=4096)
            size = table["text"].nbytes
            shards.append(NewShard(key=f"{number:06d}", rows=self.rows, text_bytes=size, ext=f"-{number:06d}.parquet"))
        rows = self.rows * len(shards)
        return Result({"rows": rows, "kept": rows}, shard_facts(shards))


def documents(rows: int, words: int, seed: int) -> pa.Table:
    """`rows` documents of 0.5 to 1.5 times `words` words: columns `id` and `text`."""
    import numpy as np
    import pyarrow as pa

    draw = np.random.default_rng(seed)
    letters = np.random.default_rng(1).integers(97, 123, (WORDS, 8), np.uint8)
    lengths = np.random.default_rng(2).integers(2, 9, WORDS)
    language = np.array([bytes(letters[i, : lengths[i]]).decode() for i in range(WORDS)], object)
    texts = []
    for _ in range(rows):
        picked = np.minimum(draw.zipf(1.2, draw.integers(words // 2, words + words // 2 + 1)), WORDS) - 1
        texts.append(" ".join(language[picked]))
    return pa.table({"id": pa.array([f"{seed:012x}:{i}" for i in range(rows)]), "text": pa.array(texts, pa.string())})


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure(RowNode):
    """Characters of the text, in a column of its own name; removes the rows whose keyed hash falls below a share.

    The hash stands for whatever rule there may be: how many rows a rule removes is what the measurement varies.
    """

    docs: Node
    column: str
    removes: float = 0.0

    reasons = ("measure.share",)
    needs = ("text", "_row")

    def adds(self):
        return {self.column: "int32"}

    def open(self, ctx: Context):
        return self.measure

    def measure(self, table: pa.Table) -> Columns:
        import pyarrow as pa
        import pyarrow.compute as pc

        chars = pc.utf8_length(table["text"]).cast("int32")
        mixed = table["_row"].to_numpy().astype("uint64") * 0x9E3779B97F4A7C15 + sum(self.column.encode())
        mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9
        gone = pa.array((mixed >> 40) < self.removes * (1 << 24))
        return Columns(added={self.column: chars}, removed=Removed.where(gone, "measure.share", chars, self.removes))


def chain(base: Node, shares: Sequence[float]) -> list[Measure]:
    """One node after the other, each removing its share of the rows that reach it."""
    nodes: list[Measure] = []
    for number, share in enumerate(shares):
        nodes.append(Measure(docs=nodes[-1] if nodes else base, column=f"chars_{number}", removes=share))
    return nodes
