"""Small nodes as models need them: batches, pieces, errors of single rows, vectors, rounds, new bases."""

from __future__ import annotations

import json
import os
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.contract import (
    Columns,
    Context,
    Node,
    Resources,
    Result,
    Rounds,
    RowNode,
    RowPhase,
    ShardPhase,
    TaskPhase,
    one,
    runtime,
)  # fmt: skip
from stages.new_base import BaseWriter, NewBaseNode


@dataclass(frozen=True, kw_only=True, eq=False)
class Sizes(RowNode):
    """Adds the number of rows in the batch of each row; notes every call, and may kill its worker at one.

    marks     a folder for one file per call: `open PID DEVICES RESOURCES`, `rows FIRST COUNT PID`
    dies_at   the row at which the worker is killed, once (there is a file `marks`/dead then) or always
    unloadable  `open` raises
    """

    docs: Node
    batch_rows: int | None = None
    batch_tokens: int | None = None
    commit_rows: int | None = runtime(None)
    marks: str = runtime("")
    dies_at: int = runtime(-1)
    dies_always: bool = runtime(False)
    asks: Resources | None = runtime(None)
    unloadable: bool = runtime(False)

    needs = ("text", "_row")

    def adds(self):
        return {"batch": "int32"}

    def resources(self):
        return self.asks or Resources()

    def phases(self):
        return (
            RowPhase(
                open=self.open, needs=self.needs, batch_rows=self.batch_rows, commit_rows=self.commit_rows,
                batch_tokens=self.batch_tokens, resources=self.resources(),
            ),
        )  # fmt: skip

    def open(self, ctx: Context):
        import pyarrow as pa
        import ray

        if self.unloadable:
            raise OSError("the weights are not there")
        if self.marks:
            asked = json.dumps(ray.get_runtime_context().get_assigned_resources()).replace(" ", "")
            self._mark(f"open {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES') or '-'} {asked}")
            (ctx.temporary() / "weights").write_bytes(b"large")

        def sizes(table):
            rows = table["_row"].to_pylist()
            if self.dies_at in rows and (self.dies_always or not Path(self.marks, "dead").exists()):
                Path(self.marks, "dead").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.marks:
                self._mark(f"rows {rows[0]} {len(rows)} {os.getpid()}")
            return Columns(added={"batch": pa.array([len(rows)] * len(rows), pa.int32())})

        return sizes

    def _mark(self, text: str) -> None:
        Path(self.marks, uuid.uuid4().hex).write_text(text)


def marks_of(folder: str, kind: str) -> list[list[str]]:
    """Return the words behind `kind` of every mark of that kind."""
    words = [path.read_text().split() for path in Path(folder).iterdir()]
    return [found[1:] for found in words if found and found[0] == kind]


class BadRow(ValueError):
    """Something wrong with one row."""


class Unheard(Exception):
    """Something that no row may stand for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picky(RowNode):
    """Measures lines, but not those with a certain word: raises for them, or says so row by row."""

    docs: Node
    word: str = "rhythm"
    how: Literal["raises", "says"] = "raises"
    fatal: bool = False
    on_error: Literal["fail", "reason"] = runtime("reason")

    reasons = ("picky.long",)
    row_errors = (BadRow,)

    def adds(self):
        return {"length": "int32"}

    def phases(self):
        return (RowPhase(open=self.open, needs=self.needs, on_error=self.on_error),)

    def open(self, ctx: Context):
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = Unheard if self.fatal else BadRow

        def measure(table):
            texts = table["text"].to_pylist()
            bad = [kind(f"cannot read {text!r}") if self.word in text else None for text in texts]
            if self.how == "raises" and any(bad):
                raise next(error for error in bad if error)
            errors = None if self.how == "raises" else bad
            return Columns(added={"length": pc.utf8_length(table["text"]).cast(pa.int32())}, errors=errors)

        return measure

    def decide(self, scores):
        import pyarrow.compute as pc

        from pipeline.contract import Removed

        return Removed.where(pc.greater(scores["length"], 25), "picky.long", scores["length"], 25)


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors(RowNode):
    """Counts letters: as a vector of 26 numbers, in half precision, and as lists of places."""

    docs: Node

    def adds(self):
        return {"letters": "float32[26]", "half": "float16[2]", "places": "list<int32>", "shares": "list<float32>"}

    def open(self, ctx: Context):
        import pyarrow as pa

        def count(table):
            texts = [text.lower() for text in table["text"].to_pylist()]
            letters = np.array([[t.count(chr(97 + i)) for i in range(26)] for t in texts], np.float32).reshape(-1, 26)
            half = [None if not t[:1].isalpha() else [np.float16(-0.0), np.float16(len(t))] for t in texts]
            places = [[i for i, c in enumerate(t) if c == "a"] or None for t in texts]
            return Columns(
                added={
                    "letters": letters,
                    "half": pa.array(half, pa.list_(pa.float16(), 2)),
                    "places": places,
                    "shares": [[x / 2 for x in found] if found else [] for found in places],
                }
            )

        return count


@dataclass(frozen=True, kw_only=True, eq=False)
class Centres(Node):
    """k-means over one number a row, in rounds: sums per shard, then new centres; ends when they move no more."""

    docs: Node
    column: str = "chars"
    k: int = 3
    most: int = 20
    marks: str = runtime("")
    dies: str = runtime("")

    def phases(self):
        rounds = Rounds(phases=self._round, until=self._settled, most=self.most)
        return (*rounds.unrolled(), TaskPhase(name="last", keys=one, run=lambda ctx, key: self._last(ctx, rounds)))

    def _round(self, number: int):
        return (
            TaskPhase(
                name=f"sums-{number:03d}", keys=lambda ctx: [shard.name for shard in ctx.shards()],
                run=lambda ctx, key: self._sums(ctx, key, number),
            ),
            TaskPhase(name=f"centres-{number:03d}", keys=one, run=lambda ctx, key: self._merge(ctx, number)),
        )  # fmt: skip

    def _centres(self, ctx: Context, number: int) -> list[float]:
        if number == 0:
            return [10.0 * i for i in range(self.k)]
        return ctx.result(f"centres-{number - 1:03d}", "all").facts["centres"]

    def _sums(self, ctx: Context, key: str, number: int) -> Result:
        if self.marks:
            Path(self.marks, uuid.uuid4().hex).write_text(f"sums {number} {key}")
        if self.dies == f"{number}" and not Path(self.marks, "well").exists():
            raise ValueError("not well")
        centres = np.array(self._centres(ctx, number))
        sums = np.zeros((self.k, 2))
        for shard in ctx.shards():
            if shard.name == key:
                for _, table in ctx.rows([self.column], shards=[shard]):
                    values = table[self.column].to_numpy().astype(float)
                    nearest = np.abs(values[:, None] - centres).argmin(1)
                    sums[:, 0] += np.bincount(nearest, values, self.k)
                    sums[:, 1] += np.bincount(nearest, minlength=self.k)
        return Result(facts={"sums": sums.tolist()})

    def _merge(self, ctx: Context, number: int) -> Result:
        phase = f"sums-{number:03d}"
        sums = sum(np.array(ctx.result(phase, key).facts["sums"]) for key in ctx.keys(phase))
        before = self._centres(ctx, number)
        centres = [total / rows if rows else old for (total, rows), old in zip(sums.tolist(), before, strict=True)]
        moved = max(abs(new - old) for new, old in zip(centres, before, strict=True))
        return Result(facts={"centres": centres, "moved": moved})

    def _settled(self, ctx: Context, number: int) -> bool:
        return ctx.result(f"centres-{number:03d}", "all").facts["moved"] == 0

    def _last(self, ctx: Context, rounds: Rounds) -> Result:
        number = rounds.last(ctx)
        with ctx.create(".json") as path:
            path.write_text(json.dumps(ctx.result(f"centres-{number:03d}", "all").facts["centres"]))
        return Result(counts={"rounds": number + 1})


@dataclass(frozen=True, kw_only=True, eq=False)
class Halves(NewBaseNode):
    """Two new documents from every line of several words: its first half and its second. Commits in pieces."""

    commit_rows: int | None = runtime(None)
    marks: str = runtime("")
    dies_at: str = runtime("")

    def columns(self):
        return {"half": "int32"}

    def phases(self):
        return (self.rows_phase(batch_rows=self.commit_rows and 5, commit_rows=self.commit_rows),)

    def open(self, ctx: Context):
        import pyarrow as pa

        def halve(table):
            rows = []
            for row in table.to_pylist():
                if row["id"].partition(":")[2] == self.dies_at and not Path(self.marks, "dead").exists():
                    Path(self.marks, "dead").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                words = row["text"].split()
                middle = len(words) // 2
                for half, part in enumerate((words[:middle], words[middle:]) if middle else ()):
                    rows.append({"text": " ".join(part), "parents": [row["id"]], "half": half})
            if self.marks:
                Path(self.marks, uuid.uuid4().hex).write_text(f"rows {len(table)}")
            schema = pa.schema([("text", pa.string()), ("parents", pa.list_(pa.string())), ("half", pa.int32())])
            return pa.Table.from_pylist(rows, schema)

        return halve


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs(Node):
    """One new document from each two lines that stand at the same place of two shards that follow one another."""

    docs: Node

    new_base = "shards"
    carries = False

    def adds(self):
        from stages.documents import PARENT

        return PARENT

    def phases(self):
        return (TaskPhase(name="shards", keys=one, run=self._pair),)

    def _pair(self, ctx: Context, key: str) -> Result:
        import pyarrow as pa

        from pipeline.contract import shard_facts
        from stages.new_base import new_ids

        tables = {}
        for shard, table in ctx.rows(["id", "text"]):
            tables.setdefault(shard.name, []).extend(table.to_pylist())
        first, second = list(tables.values())[:2]
        both = list(zip(first, second, strict=False))
        parents = [[a["id"], b["id"]] for a, b in both]
        out = BaseWriter(ctx, key, self.adds())
        out.add(
            pa.table(
                {
                    "id": new_ids(ctx.fingerprint(), parents),
                    "text": [f"{a['text']} / {b['text']}" for a, b in both],
                    "parents": pa.array(parents, pa.list_(pa.string())),
                }
            )
        )
        return Result({"made": len(both)}, shard_facts(out.close()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Loads(Node):
    """Per-shard phases that load something once per worker: a row phase and a shard phase."""

    docs: Node
    marks: str = runtime("")

    def adds(self):
        return {"loaded": "int32"}

    def phases(self):
        return (
            ShardPhase(name="files", load=lambda ctx: self._load("files"), open=_Names, needs=("text",)),
            RowPhase(
                name="rows", load=lambda ctx: self._load("rows"), open=self._open, needs=("_row",), per_shard=True
            ),
        )

    def _load(self, phase: str) -> int:
        Path(self.marks, uuid.uuid4().hex).write_text(f"load {phase} {os.getpid()}")
        return 7

    def _open(self, ctx: Context):
        loaded, name = ctx.loaded, ctx.shard.name
        Path(self.marks, uuid.uuid4().hex).write_text(f"open {name} {loaded}")
        return lambda table: Columns(added={"loaded": [loaded] * len(table)})


class _Names:
    def __init__(self, ctx: Context) -> None:
        self.ctx, self.rows = ctx, 0

    def add(self, table) -> None:
        self.rows += len(table)

    def finish(self) -> Result:
        with self.ctx.create(".json") as path:
            path.write_text(json.dumps([self.ctx.loaded, self.rows]))
        return Result()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dice(RowNode):
    """Gives every row another number whenever it runs."""

    docs: Node
    deterministic = False

    def adds(self):
        return {"dice": "float64"}

    def open(self, ctx: Context):
        return lambda table: Columns(added={"dice": np.random.default_rng().random(len(table))})


@dataclass(frozen=True, kw_only=True, eq=False)
class Asks(Node):
    """A keyed task that tells what it holds."""

    docs: Node
    cpus: float = 2

    def phases(self):
        return (TaskPhase(name="ask", keys=one, run=self._ask, resources=Resources(cpus=self.cpus, memory=50_000_000)),)

    def _ask(self, ctx: Context, key: str) -> Result:
        import ray

        return Result(facts={"held": ray.get_runtime_context().get_assigned_resources(), "threads": ctx.cpus})
