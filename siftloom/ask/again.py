"""The later tasks of a finished node done again with another threshold, over the files of its earlier ones.

A phase that names its `fields` gives the same files as long as these are equal (`pipeline.contract.ShardPhase`). So the
hashes and the clusters of a dedup stand, and only its judgement is passed again. What the tasks write goes into a
folder of this process; the store is only read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline.contract import Node, Of, Result, RowPhase, Shard, Source, TaskPhase
from pipeline.errors import UserError
from pipeline.results.binding import Binding, Input, Place
from pipeline.worker.context import TaskContext
from siftloom.ask.recorded import nodes_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.results.rows import ShardView
    from pipeline.run import StoredNode


@dataclass(frozen=True)
class Trial:
    """What has been done again: the result of each task, and its files by name."""

    folder: Path
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    files: dict[tuple[str, str], Path] = field(default_factory=dict)  # (phase, file)


class TrialContext(TaskContext):
    """The context of one task: a task that was done again is found before the stored one."""

    def __init__(self, trial: Trial, binding: Binding, phase: str, key: str, shard: Shard | None = None) -> None:
        super().__init__(binding, phase, key, shard)
        self.trial = trial

    def path(self, phase: str, key: str, ext: str, of: Of = None) -> Path:
        again = self.trial.files.get((phase, f"{key}{ext}")) if of is None else None
        return super().path(phase, key, ext, of) if again is None else again

    def result(self, phase: str, key: str, of: Of = None) -> Result:
        again = self.trial.results.get((phase, key)) if of is None else None
        return super().result(phase, key, of) if again is None else again

    def sources(self, of: str = "paths") -> Sequence[Source]:
        raise _cannot(self.node, "reads files")

    @contextlib.contextmanager
    def create(self, ext: str) -> Iterator[Path]:
        path = self.trial.folder / f"{len(self.trial.files)}{ext[ext.rfind('.') :]}"
        yield path
        self.trial.files[self.phase, f"{self.key}{ext}"] = path


def decided_again(view: StoredNode, shards: Sequence[ShardView], node: Node) -> pa.Array:
    """Return the reason of each document, in their order, or null. `shards`: those that the finished node of `view`
    saw. Raises UserError where that takes more than stored files.
    """
    import pyarrow as pa

    rows = node.phases()[-1]
    if not isinstance(rows, RowPhase) or "text" in rows.needs or getattr(node, "changes_text", False):
        raise _cannot(node, "reads texts")
    with TemporaryDirectory(prefix="siftloom-") as folder:
        trial, binding = Trial(Path(folder)), _binding(view, node)
        for phase in _changed_phases(view, node):
            keys = [str(key) for key in phase.keys(TrialContext(trial, binding, phase.name, "keys"))]
            binding = replace(binding, phases={**binding.phases, phase.name: keys})
            for key in keys:
                trial.results[phase.name, key] = phase.run(TrialContext(trial, binding, phase.name, key), key)
        return pa.chunked_array([*_reasons(shards, rows, trial, binding)], pa.string()).combine_chunks()


def _changed_phases(view: StoredNode, node: Node) -> Iterator[TaskPhase]:
    """Yield the phases whose files may differ from the stored ones."""
    before = nodes_of(view.run)[view.label]
    for phase in node.phases()[:-1]:
        if phase.fields is not None and all(getattr(node, name) == getattr(before, name) for name in phase.fields):
            continue
        if not isinstance(phase, TaskPhase) or phase.place == "driver":
            raise _cannot(node, f"does its phase {phase.name} again")
        yield phase


def _reasons(shards: Sequence[ShardView], phase: RowPhase, trial: Trial, binding: Binding) -> Iterator[pa.Array]:
    import pyarrow as pa

    for seen in shards:
        shard = seen.base.shard
        function = phase.open(TrialContext(trial, binding, phase.name, shard.name, shard))
        for _, mask, table in seen.batches(phase.needs):
            alive = table if mask.all() else table.filter(pa.array(mask))
            if len(alive):
                removed = function(alive).removed
                yield pa.nulls(len(alive), pa.string()) if removed is None else _as_texts(removed.reason)


def _as_texts(reasons: Any) -> pa.Array:
    import pyarrow as pa

    whole = reasons.combine_chunks() if isinstance(reasons, pa.ChunkedArray) else reasons
    return whole.cast(pa.string())


def _binding(view: StoredNode, node: Node) -> Binding:
    """Return what a task of the finished node was given, with another node in its place."""
    run, manifests, manifest = view.run, view.run.manifests, view.manifest
    known = nodes_of(run)
    inputs: dict[str, tuple[Input, ...]] = {}
    for name, parents in manifest["inputs"].items():
        found = []
        for fingerprint in parents:
            parent = manifests.by_fingerprint(fingerprint)
            label = run.label_of(fingerprint)
            if label not in known:
                raise _cannot(node, f"reads a node without a name in {name}")
            carried = manifests.chains(parent)
            stream = manifests.joined(carried) if carried else None
            found.append(Input(Place(known[label], fingerprint), stream, parent["phases"]))
        inputs[name] = tuple(found)
    chains = manifests.input_chains(manifest)
    return Binding(
        store=run.store.address, place=Place(node, view.fingerprint), inputs=inputs,
        stream=manifests.joined(chains) if chains else None, phases=dict(manifest["phases"]),
    )  # fmt: skip


def _cannot(node: Node, why: str) -> UserError:
    return UserError(
        node.kind(), f"a node that {why}, so it decides from more than stored columns",
        "a node that scores and decides", "siftloom run RECIPE NODE -s ..., then siftloom diff",
    )  # fmt: skip
