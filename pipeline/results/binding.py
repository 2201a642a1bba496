"""A node with its place in the store: what travels to a worker so that a task finds its inputs.

Plain, picklable values that the driver builds from the graph and from manifests; no file is opened here. A *stream* is
what a node sees of its documents: the base shards, and for each base the chain of nodes that wrote columns beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contract import InPlace, NewShard, Node, RowPhase, Shard, ShardPhase, Source
from pipeline.files.address import Address
from pipeline.inputs import inputs_first


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
    files: tuple[Source, ...] = ()  # that later nodes open for its rows, as the current run finds them

    @staticmethod
    def of(base: str, folder: str, phase: str, task: str, new: NewShard, sources: Mapping[str, Source]) -> BaseShard:
        """The shard that a task has laid down; `sources` by digest."""
        return BaseShard(
            Shard(base, new.key, new.rows, new.text_bytes), folder, phase, task,
            file=None if new.ext is None else f"{task}{new.ext}",
            in_place=new.in_place,
            source=sources.get(new.in_place.digest) if new.in_place else None,
            state_file=f"{task}{new.state_ext}" if new.state_ext else None,
            files=tuple(sources[digest] for digest in new.files or () if digest in sources),
        )  # fmt: skip


@dataclass(frozen=True)
class Link:
    """One node that wrote columns beside a base."""

    folder: str
    phase: str  # name of its row phase
    columns: Mapping[str, str]  # added columns and their types
    changes_text: bool


@dataclass(frozen=True)
class DocumentStream:
    """Documents as a node's input shows them. All mappings are by the short fingerprint of a base."""

    shards: tuple[BaseShard, ...]
    chains: Mapping[str, tuple[Link, ...]]  # links in order
    base_columns: Mapping[str, Mapping[str, str]]  # columns of its files
    folders: Mapping[str, str]
    partial: bool = False  # `shards` are not all: the manifests of the bases name the others

    def only(self, *shards: BaseShard) -> DocumentStream:
        """Return the same stream with these shards alone."""
        return replace(self, shards=shards, partial=True)

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
    stream: DocumentStream | None
    phases: Mapping[str, Sequence[str]] | None = field(default_factory=dict)  # finished -> keys; None: see the manifest

    def only(self, *shards: BaseShard) -> Input:
        """Return the same input with these shards alone."""
        return replace(self, stream=self.stream.only(*shards) if self.stream else None, phases=None)


@dataclass(frozen=True)
class Binding:
    """All that a task of a node needs to know."""

    store: Address
    place: Place
    inputs: Mapping[str, tuple[Input, ...]]  # field -> inputs in order
    stream: DocumentStream | None  # the node's own stream input, all of its nodes joined
    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    phases: Mapping[str, Sequence[str]] = field(default_factory=dict)  # own finished phases -> keys
    stop_name: str = ""  # object that appears when the driver is asked to stop
    cpus: int = 1

    def __getstate__(self) -> dict[str, Any]:
        # Inputs first: a node is pickled behind those that it names, and so a chain longer than the stack is too.
        places = [self.place, *(each.place for found in self.inputs.values() for each in found)]
        return {"nodes": inputs_first(place.node for place in places), **self.__dict__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "nodes"})

    def only(self, *shards: BaseShard) -> Binding:
        """Return what a task over these shards needs: of the node's stream these shards alone, so that what
        travels to a worker does not grow with the corpus; the node's other inputs are whole.
        """
        stream, names = self.place.node.stream, [base.shard.name for base in shards]
        per_shard = {p.name for p in self.place.node.phases() if isinstance(p, RowPhase | ShardPhase)}
        return replace(
            self,
            inputs={
                name: tuple(i.only(*shards) for i in found) if name == stream else found
                for name, found in self.inputs.items()
            },
            stream=self.stream.only(*shards) if self.stream else None,
            phases={phase: names if phase in per_shard else keys for phase, keys in self.phases.items()},
        )
