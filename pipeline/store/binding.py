"""A node with its place in the store: what travels to a worker so that a task finds its inputs.

Plain, picklable values made by the driver from the graph and from manifests; no file is opened here. A *stream* is
what a node sees of its documents: the base shards, and for each base the chain of nodes that wrote columns beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import InPlace, NewShard, Node, Shard, Source


@dataclass(frozen=True)
class Place:
    """A node and its folder."""

    node: Node
    fingerprint: str  # 64 hex digits

    @property
    def short(self) -> str:
        return self.fingerprint[:12]

    @property
    def folder(self) -> str:
        return f"nodes/{self.node.kind()}-{self.short}"


@dataclass(frozen=True)
class BaseShard:
    """A base shard and where its rows lie."""

    shard: Shard
    folder: str  # of the base node
    phase: str
    task: str  # key of the task that laid it down
    file: str | None = None  # below data/<phase>/
    in_place: InPlace | None = None
    source: Source | None = None  # of an in-place shard, as the current run finds it
    state_file: str | None = None


@dataclass(frozen=True)
class Link:
    """One node that wrote columns beside a base."""

    place: Place
    phase: str  # name of its row phase
    columns: Mapping[str, str]  # added columns and their types
    changes_text: bool


@dataclass(frozen=True)
class Stream:
    """Documents as a node's input shows them."""

    shards: tuple[BaseShard, ...]
    chains: Mapping[str, tuple[Link, ...]]  # base short fingerprint -> links in order
    base_columns: Mapping[str, Mapping[str, str]]  # base short fingerprint -> columns of its files

    def chain(self, shard: Shard) -> tuple[Link, ...]:
        return self.chains[shard.base]

    def columns(self) -> set[str]:
        """Columns that every base of the stream carries."""
        per_base = [
            set(self.base_columns[base]) | {name for link in links for name in link.columns}
            for base, links in self.chains.items()
        ]
        return set.intersection(*per_base) if per_base else set()


@dataclass(frozen=True)
class Input:
    """One input of a node. `stream` is None for an input that carries no rows."""

    place: Place
    stream: Stream | None
    phases: Mapping[str, Sequence[str]] = field(default_factory=dict)  # finished phase -> keys


@dataclass(frozen=True)
class Binding:
    """All that a task of a node needs to know."""

    store: str
    place: Place
    inputs: Mapping[str, tuple[Input, ...]]  # field -> inputs in order
    stream: Stream | None  # the node's own stream input, all of its nodes joined
    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    phases: Mapping[str, Sequence[str]] = field(default_factory=dict)  # own finished phases -> keys
    stop_name: str = ""  # object that appears when the driver is asked to stop
    cpus: int = 1


def base_shards(place: Place, phase: str, receipts: Sequence[Any], sources: Sequence[Source]) -> tuple[BaseShard, ...]:
    """The shards that a base node's receipts list, in order of task key."""
    by_digest = {source.digest: source for source in sources}
    return tuple(
        BaseShard(
            Shard(place.short, new.key, new.rows, new.text_bytes), place.folder, phase, receipt.key,
            file=None if new.ext is None else f"{receipt.key}{new.ext}",
            in_place=new.in_place,
            source=by_digest.get(new.in_place.digest) if new.in_place else None,
            state_file=f"{receipt.key}{new.state_ext}" if new.state_ext else None,
        )
        for receipt in sorted(receipts, key=lambda r: r.key)
        for new in map(NewShard.parse, receipt.facts.get("shards", ()))
    )  # fmt: skip
