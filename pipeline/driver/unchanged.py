"""Shards of a corpus that has grown in other shards: their files are linked from the run before, not made again.

Two nodes of one shape (`Ledger.shape`) are the same graph over other source files. A task of a per-shard phase is then
a function of what its receipt says it read, and of what its phase declares to take from beyond its shard (`whole`). So
a task is linked where every receipt that the finished one read has a counterpart here with the same content; of the
side-cars before it that is what the phase takes of them, the rows alive and the columns that it needs.

The phases of a pass are looked at in their order: what is linked for one is what the next one reads. Where a phase has
to run again but reads no text, the phases behind it wait until its side-cars are there, since most come out as they
were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.commit import whole_of
from pipeline.driver.ledger import Ledger, reusable
from pipeline.driver.reuse import siblings, take_over
from pipeline.driver.same_rows import same_rows, taken
from pipeline.driver.schedule import Key
from pipeline.errors import DataError, StoreError
from pipeline.results.binding import Link
from pipeline.results.manifests import Manifest, folder_of
from pipeline.results.receipts import Receipt, data_name
from pipeline.results.seen_receipts import AT_ONCE, READERS
from pipeline.worker.context import TaskContext

Joined = Sequence[tuple[Node, RowPhase | ShardPhase]]


@dataclass(frozen=True)
class Donor:
    """A finished node of the same shape.

    names  folder of it, and of the nodes whose rows it reads -> folder of the node here; without `nodes/`
    links  folder of the nodes whose rows it reads -> what they wrote
    bases  first part of its shards' names -> that of the shards here
    """

    folder: str
    manifest: Manifest
    names: Mapping[str, str]
    links: Mapping[str, Link]
    bases: Mapping[str, str]

    def here(self, shard: str) -> str:
        """Return what a shard, or another key, of the donor is called here."""
        base, dash, key = shard.partition("-")
        return f"{self.bases[base]}-{key}" if dash and base in self.bases else shard


@dataclass
class Unchanged:
    """Looks for such shards. `keys` returns those of a phase that is done, `context` what a node's tasks may read."""

    state: Ledger
    keys: Callable[[Node, Any], Sequence[str]]
    context: Callable[[Node], TaskContext]
    _compared: dict[Key, int] = field(default_factory=dict)  # side-cars before the phase that were there then

    def link(self, node: Node, phase: RowPhase | ShardPhase) -> int:
        """Link the files of shards that another run has; return of how many. Asked again, it looks only at news."""
        ready = sum(len(self.state.done(before, name)) for before, name in self._before(node))
        if self._compared.get((node, phase.name)) == ready or not self._linkable(node, phase):
            return 0
        self._compared[node, phase.name] = ready
        return sum(self._link_from(donor, node, phase) for donor in self._donors(node, phase))

    def until_written(self, joined: Joined) -> Joined:
        """Return the phases of a pass before the first that should wait for the side-cars of those before it."""
        cheap: set[Node] = set()
        for i, (node, phase) in enumerate(joined):
            before = {link for link, _ in self._before(node)} & cheap
            if before and self._linkable(node, phase) and self._may_link(node, phase, before):
                return joined[:i]
            if isinstance(phase, RowPhase) and phase.per_shard and "text" not in phase.needs:
                cheap.add(node)
        return joined

    def _before(self, node: Node) -> list[Key]:
        """Return the row phases just before a node."""
        last = dict.fromkeys(chain[-1] for chain in self.state.graph.input_chains(node).values() if chain)
        return [(link, self.state.link(link).phase) for link in last]

    def _linkable(self, node: Node, phase: RowPhase | ShardPhase) -> bool:
        if node.new_base is not None or self.state.shape(node) is None:
            return False
        return phase.whole is not None if isinstance(phase, ShardPhase) else reusable(node) and not phase.per_shard

    def _may_link(self, node: Node, phase: RowPhase | ShardPhase, before: set[Node]) -> bool:
        waited = {key for link in before for key in self._due(link, self.state.link(link).phase)}
        waited &= set(self._due(node, phase.name))
        donors = self._donors(node, phase)
        return any(donor.here(key) in waited for donor in donors for key in donor.manifest["phases"][phase.name])

    def _due(self, node: Node, phase: str) -> list[str]:
        done = self.state.done(node, phase)
        return [key for key in self.state.shard_keys(node) if key not in done]

    def _donors(self, node: Node, phase: RowPhase | ShardPhase) -> Iterator[Donor]:
        """Yield the finished nodes of the same shape that took the same from beyond their shards."""
        shape, graph = self.state.shape(node), self.state.graph
        if not self._due(node, phase.name):
            return
        whole = whole_of(phase, self.context(node))
        earlier = []
        for own in graph.phases(node):
            if own.name == phase.name:
                break
            earlier += [(own.name, list(self.keys(node, own)))] if isinstance(own, TaskPhase) else []
        for folder, manifest in siblings(self.state, node):
            if manifest.get("shape") != shape or manifest["whole"].get(phase.name) != whole:
                continue
            if phase.name not in manifest["phases"] or any(manifest["phases"].get(n) != k for n, k in earlier):
                continue
            found = self._donor(node, folder, manifest)
            if found is not None:
                yield found

    def _donor(self, node: Node, folder: str, manifest: Manifest) -> Donor | None:
        state = self.state
        try:
            theirs = state.manifests.input_chains(manifest)
            names = {folder: state.folder(node)}
            bases, links = {}, {}
            for (base, chain), (their_base, their_chain) in zip(
                state.graph.input_chains(node).items(), theirs.items(), strict=True
            ):
                bases[their_base[:8]] = state.place(base).short[:8]
                names[folder_of(state.manifests.by_fingerprint(their_base))] = state.folder(base)
                for link, their_link in zip(chain, their_chain, strict=True):
                    names[folder_of(their_link)] = state.folder(link)
                    links[folder_of(their_link).removeprefix("nodes/")] = state.link(link)
        except (DataError, StoreError):  # a node before it was cleaned away, or is damaged
            return None
        short = {there.removeprefix("nodes/"): here.removeprefix("nodes/") for there, here in names.items()}
        return Donor(folder, manifest, short, links, bases)

    def _link_from(self, donor: Donor, node: Node, phase: RowPhase | ShardPhase) -> int:
        due = set(self._due(node, phase.name))
        there = [key for key in donor.manifest["phases"][phase.name] if donor.here(key) in due]
        linked = 0
        for start in range(0, len(there), AT_ONCE):
            try:
                receipts = list(self.state.known.get(donor.folder, phase.name, there[start : start + AT_ONCE]))
                equal = self._equal(donor, [read for receipt in receipts for read in receipt.reads], phase.needs)
            except (DataError, StoreError, FileNotFoundError):  # of another run, perhaps; this one can do without
                continue
            form = [self._form(donor, node, receipt, equal) for receipt in receipts]
            pairs = [(theirs, ours) for theirs, ours in zip(receipts, form, strict=True) if ours is not None]
            with ThreadPoolExecutor(min(READERS, len(pairs) or 1)) as pool:
                for made in pool.map(partial(self._taken_over, donor, node), pairs):
                    if made is not None:
                        self.state.note(node, made)
                        linked += 1
        return linked

    def _equal(
        self, donor: Donor, reads: Sequence[Sequence[str]], needs: Sequence[str]
    ) -> dict[tuple[str, str, str], tuple[str, str]]:
        """(node, phase, key) of the reads whose counterpart here gives the same -> digest there and here."""
        wanted: dict[tuple[str, str], dict[str, None]] = {}
        for name, phase, key, _ in reads:
            wanted.setdefault((name, phase), {})[key] = None
        found = {}
        for (name, phase), keys in wanted.items():
            own = donor.names.get(name, name)
            here = {key: donor.here(key) if name in donor.names else key for key in keys}
            theirs = {r.key: r for r in self.state.known.get(f"nodes/{name}", phase, list(keys))}
            ours = {r.key: r for r in self.state.known.get(f"nodes/{own}", phase, list(here.values()))}
            pairs = [(theirs[key], ours[here[key]]) for key in keys if key in theirs and here[key] in ours]
            same = [pair for pair in pairs if content(pair[0]) == content(pair[1])]
            link = donor.links.get(name)
            if link is not None and link.phase == phase and len(same) < len(pairs):
                others = [pair for pair in pairs if content(pair[0]) != content(pair[1])]
                columns = taken(link, needs)
                with ThreadPoolExecutor(min(READERS, len(others))) as pool:
                    answers = pool.map(partial(self._same_rows, (name, own), columns), others)
                    same += [pair for pair, equal in zip(others, answers, strict=True) if equal]
            found |= {(name, phase, one.key): (one.digest, other.digest) for one, other in same}
        return found

    def _same_rows(self, folders: Sequence[str], columns: Sequence[str], pair: Sequence[Receipt]) -> bool:
        """Return whether the side-cars of two tasks are the same to a phase that takes these columns of them."""
        one, other = (
            self.state.store.local(data_name(f"nodes/{folder}", receipt.phase, file), entry["sha256"])
            for folder, receipt in zip(folders, pair, strict=True)
            for file, entry in receipt.files.items()
        )
        return same_rows(one, other, columns)

    def _form(
        self, donor: Donor, node: Node, receipt: Receipt, equal: Mapping[tuple[str, str, str], tuple[str, str]]
    ) -> dict[str, Any] | None:
        """Return the receipt as a task here would have written it, None where that task would read something else."""
        if any(name.startswith(f"removed.{node.kind()}.error.") for name in receipt.counts):
            return None  # what went wrong with a row is tried again
        reads = []
        for name, phase, key, digest in receipt.reads:
            there, here = equal.get((name, phase, key), ("", ""))
            if there != digest:
                return None
            own = donor.names.get(name, name)
            reads.append([own, phase, donor.here(key) if name in donor.names else key, here])
        own_key = donor.here(receipt.key)
        files = {own_key + file.removeprefix(receipt.key): entry for file, entry in receipt.files.items()}
        return receipt.form() | {"key": own_key, "files": files, "reads": sorted(reads)}

    def _taken_over(self, donor: Donor, node: Node, pair: tuple[Receipt, dict[str, Any]]) -> Receipt | None:
        return take_over(self.state.store, donor.folder, pair[0], self.state.folder(node), pair[1])


def content(receipt: Receipt) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Return what a task wrote, without the name of its shard."""
    return {file.removeprefix(receipt.key): e["sha256"] for file, e in receipt.files.items()}, receipt.facts
