"""Nodes that go wrong in one way each, for the tests of failures."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from nodes import Lines, Long, Tally

from pipeline.contract import Columns, Context, Law, Node, Result, RowNode, TaskPhase, one, runtime


@dataclass(frozen=True, kw_only=True, eq=False)
class Chokes(RowNode):
    """Fails on a shard that holds a word, while a file is there."""

    docs: Node
    word: str = "poison"
    while_file: str = runtime("")

    def adds(self):
        return {"fine": "bool"}

    def open(self, ctx: Context):
        import pyarrow as pa

        def score(table):
            if Path(self.while_file).exists() and any(self.word in text for text in table["text"].to_pylist()):
                raise ValueError(f"cannot stand the word {self.word!r}")
            return Columns(added={"fine": pa.array([True] * len(table))})

        return score


@dataclass(frozen=True, kw_only=True, eq=False)
class Dies(Long):
    """Its worker is killed on a shard that holds a word, `times` times."""

    word: str = "poison"
    times: int = runtime(1)
    graves: str = runtime("")

    recipe_name = "long"

    def open(self, ctx: Context):
        score = super().open(ctx)

        def mortal(table):
            if any(self.word in text for text in table["text"].to_pylist()):
                deaths = list(Path(self.graves).iterdir())
                if len(deaths) < self.times:
                    Path(self.graves, f"death-{len(deaths)}").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return score(table)

        return mortal


@dataclass(frozen=True, kw_only=True, eq=False)
class Leaks(Node):
    """Counts more documents in than out."""

    docs: Node

    def phases(self):
        law = Law("documents", "seen", ("kept", "dropped."))
        return (TaskPhase(name="all", keys=one, run=self._run, law=law),)

    def _run(self, ctx: Context, key: str) -> Result:
        return Result({"seen": 10, "kept": 6, "dropped.short": 3})


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws(Tally):
    """Cannot draw its figures."""

    def figures(self, ctx: Context):
        return [{"kind": "bars", "value": 1 / 0}]


@dataclass(frozen=True, kw_only=True, eq=False)
class Unsure(Tally):
    """Cannot name its tasks."""

    def phases(self):
        return (TaskPhase(name="all", keys=lambda ctx: [str(1 // 0)], run=self._count),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Silent(Node):
    """Promises a file and writes none."""

    docs: Node

    def phases(self):
        return (TaskPhase(name="all", keys=one, run=self._run, place="driver"),)

    def _run(self, ctx: Context, key: str) -> Result:
        with ctx.create(".bin"):
            return Result()


@dataclass(frozen=True, kw_only=True, eq=False)
class Large(Node):
    """Writes so many bytes, which it did not predict."""

    docs: Node
    size: int = 0

    def phases(self):
        return (TaskPhase(name="all", keys=one, run=self._run),)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 1000

    def _run(self, ctx: Context, key: str) -> Result:
        with ctx.create(".bin") as path, open(path, "wb") as file:
            for _ in range(self.size >> 16):
                file.write(os.urandom(1 << 16))
        return Result()


@dataclass(frozen=True, kw_only=True, eq=False)
class Careless(Lines):
    """Looks at no digest; while it reads, its file `edited` is written again in the same length."""

    edited: str = runtime("")
    as_it_was: bool = runtime(False)

    recipe_name = "lines"

    def _read(self, ctx: Context, key: str) -> Result:
        result = super()._read(ctx, key)
        path = Path(self.edited)
        if ctx.sources()[int(key)].path.plain() == str(path):
            text = path.read_text()
            path.write_text(text if self.as_it_was else text.swapcase())
        return result
