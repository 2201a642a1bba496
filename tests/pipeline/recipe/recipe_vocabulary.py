"""A small vocabulary for the tests of recipes: one node for every kind of field that a node may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.contract import Node, RowNode, ShardPhase, TaskPhase, one, runtime, sources, threshold
from pipeline.errors import RecipeError
from pipeline.recipe import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Rope:
    theta: float = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Dense:
    size: str = field(kw_only=False)
    width: int | None = None

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width: found {self.width}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Small(Dense):
    rank: int
    rope: Rope = Rope()


@dataclass(frozen=True)
class Flat:
    pass


@dataclass(frozen=True, kw_only=True)
class Steep:
    r: float = 1.0
    bounds: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source(Node):
    paths: tuple[str, ...] = sources()
    format: Literal["jsonl", "txt"] | None = None
    limit: int | None = None
    new_base = "lay"

    def phases(self):
        return (TaskPhase(name="lay", keys=one, run=_never),)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sieve(RowNode):
    docs: Node
    share: float = threshold(0.5)
    languages: tuple[str, ...] = ()
    as_: str | None = None
    ranges: Mapping[str, tuple[int, int]] | None = None
    workers: int = runtime(1)
    strict: bool = False

    def open(self, ctx):
        return _never

    def check(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError("share", f"{self.share}", "a number from 0 to 1")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rows(Node):
    docs: Node
    tokenizer: Node | str = "bytes"
    stream = "docs"

    def phases(self):
        return (ShardPhase(name="pack", open=_never),)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Train(Node):
    rows: Node | tuple[tuple[Node, float], ...]
    model: Dense
    weights: Flat | Steep = Flat()
    start: Node | None = None
    steps: int = 10

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=_never),)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table(Node):
    runs: tuple[Node, ...]
    shares: Mapping[Node, float] | None = None

    def phases(self):
        return (TaskPhase(name="table", keys=one, run=_never),)


def _never(*_):
    raise AssertionError("a recipe runs nothing")


NODES = {cls.kind(): f"{__name__}:{cls.__name__}" for cls in (Source, Sieve, Rows, Train, Table)}
VOCABULARY = Vocabulary(NODES, {"dense": Dense, "small": Small, "flat": Flat, "steep": Steep, "rope": Rope})
