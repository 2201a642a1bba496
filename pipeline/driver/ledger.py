"""What a driver knows of a graph in a store: identities, manifests, which tasks are done, what their receipts say.

All of it is read from the store. A receipt that a task has returned is noted here, so the driver does not read it.
Nothing here imports pyarrow or ray: `siftloom plan` needs only this module and `schedule.py`.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node, Phase, RowNode, RowPhase, ShardPhase, Source
from pipeline.errors import GraphError, SourceError
from pipeline.files.objects import Store
from pipeline.files.sources import Listing, expand
from pipeline.graph import Graph
from pipeline.results.binding import BaseShard, Binding, DocumentStream, Input, Link, Place
from pipeline.results.manifests import Manifests, base_shards
from pipeline.results.receipts import Receipt, done_keys
from pipeline.results.seen_receipts import KnownReceipts


class Ledger:
    """Identities and progress of a graph's nodes in one store."""

    def __init__(self, graph: Graph, store: Store) -> None:
        self.graph, self.store = graph, store
        self.listings: dict[tuple[Node, str], Listing] = {}
        self._digests: dict[str, list[str]] = {}
        self._fingerprints: dict[Node, str] = {}
        self.manifests, self.known = Manifests(store), KnownReceipts(store)
        self._done: dict[tuple[Node, str], set[str]] = {}
        self._shards: dict[Node, tuple[BaseShard, ...]] = {}
        self._keys: dict[Node, list[str]] = {}
        self._phase_keys: dict[Node, dict[str, str]] = {}
        self._shapes: dict[Node, str | None] = {}
        self._score_keys: dict[Node, str | None] = {}
        self._waiting: set[tuple[Node, str]] | None = None  # fields of paths whose digests are not known
        for node in graph.nodes:
            for field in dataclasses.fields(node):
                value = getattr(node, field.name)
                if field.metadata.get("role") == "sources" and value:
                    place = f"{graph.names[node]}.{field.name}"
                    found = expand(value, place, field.metadata["schemes"])
                    if field.metadata.get("one") and len(found.entries) != 1:
                        raise SourceError(place, f"{len(found.entries)} files", "one file")
                    node.source_marks(field.name, [entry.name for entry in found.entries])  # names that it refuses
                    self.listings[node, field.name] = found

    # identity --------------------------------------------------------------------------------------------------------

    def unknown_listings(self) -> list[Listing]:
        """Listings whose files have not been digested yet."""
        return [listing for (node, _), listing in self.listings.items() if self._digests_of(node, listing) is None]

    def _digests_of(self, node: Node, listing: Listing) -> list[str] | None:
        if getattr(node, "trust", None) == "listing":
            return listing.stand_ins()
        if listing.key not in self._digests:
            known = listing.digests(self.store)
            if known is None:
                return None
            self._digests[listing.key] = known
        return self._digests[listing.key]

    def sources(self, node: Node) -> dict[str, tuple[Source, ...]]:
        """Digested source files per field of paths."""
        found = {}
        for (owner, field), listing in self.listings.items():
            if owner is node:
                digests = self._digests_of(owner, listing)
                assert digests is not None, "sources are digested before nodes run"
                found[field] = listing.sources(digests)
        return found

    def fingerprint(self, node: Node) -> str | None:
        """The node's identity, None until the digests it hangs on are known."""
        if node not in self._fingerprints and self._know_more():
            for one in self.graph.nodes:  # inputs first, so that a chain may be longer than the stack
                if one not in self._fingerprints and (found := self._fingerprint(one)) is not None:
                    self._fingerprints[one] = found
        return self._fingerprints.get(node)

    def _know_more(self) -> bool:
        """Whether digests have become known since the last time that somebody asked."""
        waiting = {place for place, listing in self.listings.items() if self._digests_of(place[0], listing) is None}
        before, self._waiting = self._waiting, waiting
        return waiting != before

    def _fingerprint(self, node: Node) -> str | None:
        """The same, where those of the inputs are known as far as they can be."""
        stand_ins = {}
        for (owner, field), listing in self.listings.items():
            if owner is node:
                digests = self._digests_of(owner, listing)
                if digests is None:
                    return None
                names = [entry.name for entry in listing.entries]
                stand_ins[field] = identity.source_form(node, field, names, digests)
        if any(parent not in self._fingerprints for _, _, parent in self.graph.inputs(node)):
            return None
        return identity.digest(identity.node_form(node, self._fingerprints.__getitem__, stand_ins))

    def place(self, node: Node) -> Place:
        fingerprint = self.fingerprint(node)
        assert fingerprint is not None
        return Place(node, fingerprint)

    def folder(self, node: Node) -> str:
        return self.place(node).folder

    def shape(self, node: Node) -> str | None:
        """Nodes of equal shape differ in the source files of the bases behind their rows, and in how far they are read.

        Bases of equal shape have equal shards under equal keys: their fingerprint changes with every file that comes or
        goes, their shape does not. None for a base whose keys do not say what it read.
        """
        behind = [node] if node not in self._shapes else []
        seen = set(behind)
        for one in behind:  # then those nearest to the files first, so that none asks further back than an input
            more = [] if one.content_keys else self.graph.stream_inputs(one)
            behind += [parent for parent in more if parent not in seen and parent not in self._shapes]
            seen.update(more)
        for one in reversed(behind[1:]):
            self._shape(one)
        return self._shape(node)

    def _shape(self, node: Node) -> str | None:
        if node not in self._shapes:
            form = None
            if node.content_keys:
                form = identity.node_form(node, self.fingerprint, {}, skip_roles=("runtime", "sources", "reach"))
            elif self.fingerprint(node) is None:  # not yet: the digests of its sources are not known
                return None
            elif node.new_base is None and self.graph.stream_inputs(node):
                rows = getattr(node, node.stream)  # the same node in another field counts there with all that it is
                behind = identity.canonical(rows, lambda one: self._shape(one) or self.fingerprint(one), node.stream)
                form = identity.node_form(node, self.fingerprint, {**self._source_forms(node), node.stream: behind})
            self._shapes[node] = None if form is None else identity.digest({"shape": form})
        return self._shapes[node]

    def _source_forms(self, node: Node) -> dict[str, Any]:
        """What stands for the node's fields of paths in a key that does not hang on the paths."""
        return {
            field: identity.source_form(node, field, [s.name for s in files], [s.digest for s in files])
            for field, files in self.sources(node).items()
        }

    def score_key(self, node: Node) -> str | None:
        """Equal keys mean equal added columns, and equal texts, for rows that both runs have scored.

        None for a node whose columns cannot be copied, and None where the store cannot tell.
        """
        if node in self._score_keys:
            return self._score_keys[node]
        if self.fingerprint(node) is None:  # not kept: it changes with what becomes known
            return self._score_key(node)
        chains = self.graph.input_chains(node).values()
        for one in dict.fromkeys(itertools.chain(*chains, [node])):  # in order, so that none asks further back
            if one not in self._score_keys:
                self._score_keys[one] = self._score_key(one)
        return self._score_keys[node]

    def _score_key(self, node: Node) -> str | None:
        phase = self.graph.row_phase(node)
        if phase is None or not reusable(node):
            return None
        inputs = self.graph.input_chains(node)
        needs = []
        for base, chain in inputs.items():
            providers = self.graph.providers(chain, base)
            for name in phase.needs:
                provider = providers.get(name, base)
                origin = self.shape(base) or self.fingerprint(base)
                key = self.score_key(provider) or self.fingerprint(provider) if provider is not base else origin
                needs.append([origin, name, key])
        stand_ins = {**self._source_forms(node), node.stream: needs}
        form = identity.node_form(node, self.fingerprint, stand_ins, skip_roles=("runtime", "threshold"))
        return identity.digest(form)

    def phase_keys(self, node: Node) -> dict[str, str]:
        """Phase -> key under which another node may have finished the same one; only up to the first undeclared one."""
        if node not in self._phase_keys:
            digests = self._source_forms(node)
            declared = itertools.takewhile(lambda phase: phase.fields is not None, self.graph.phases(node))
            named = [(phase.name, phase.fields or ()) for phase in declared]
            self._phase_keys[node] = identity.phase_keys(node, named, self.fingerprint, digests)
        return self._phase_keys[node]

    def files(self, node: Node) -> frozenset[str]:
        """The source files of a node, each by its place and, once it is known, its digest."""
        found: set[str] = set()
        for (owner, _), listing in self.listings.items():
            if owner is node:
                found.update(e.path.plain() if e.path.remote else os.path.realpath(e.path) for e in listing.entries)
                found.update(self._digests_of(node, listing) or ())
        return frozenset(found)

    def check_bases(self) -> None:
        """Raise GraphError for a node that is given one base under two names: every document would come twice; and what
        a node itself has against the files behind its inputs.
        """
        for node in self.graph.nodes:
            node.check_files(self.files)
            seen: dict[str, Node] = {}
            for base in self.graph.input_chains(node):
                fingerprint = self.fingerprint(base)
                other = None if fingerprint is None else seen.setdefault(fingerprint, base)
                if other is not None and other is not base:
                    one, two = self.graph.names[other], self.graph.names[base]
                    raise GraphError(
                        f"{self.graph.names[node]}.{node.stream}",
                        f"the same documents twice: {one!r} and {two!r} read equal files in the same way",
                        "every document once", f"leave {two!r} out",
                    )  # fmt: skip

    # progress --------------------------------------------------------------------------------------------------------

    def manifest(self, node: Node) -> dict[str, Any] | None:
        """The manifest of a finished node, None while it is not finished; looked for once, until `reopen`."""
        return None if self.fingerprint(node) is None else self.manifests.get(self.folder(node))

    def reopen(self, node: Node) -> None:
        """Forget what was read of a node's progress."""
        for read in (self.manifests, self.known):
            read.forget(self.folder(node))
        self._shards.pop(node, None)
        self._keys.clear()  # they hang on the shards of bases
        for key in [key for key in self._done if key[0] is node]:
            del self._done[key]

    def done(self, node: Node, phase: str) -> set[str]:
        """Keys of a phase that have a receipt."""
        if (node, phase) not in self._done:
            self._done[node, phase] = done_keys(self.store, self.folder(node), phase)
        return self._done[node, phase]

    def note(self, node: Node, receipt: Receipt) -> None:
        """Keep the receipt of a task that is done."""
        self.done(node, receipt.phase).add(receipt.key)
        self.known.note(self.folder(node), receipt)

    def receipts(self, node: Node, phase: str, keys: Sequence[str]) -> Iterator[Receipt]:
        """The receipts of these keys, in their order; those that do not exist are left out."""
        return self.known.get(self.folder(node), phase, keys)

    # rows ------------------------------------------------------------------------------------------------------------

    def base_shards(self, base: Node) -> tuple[BaseShard, ...]:
        """The shards of a finished base, in order."""
        if base not in self._shards:
            manifest = self.manifest(base)
            assert manifest is not None, f"{self.graph.names[base]} is not finished"
            sources = [source for group in self.sources(base).values() for source in group]
            self._shards[base] = base_shards(manifest, sources)
        return self._shards[base]

    def link(self, node: Node) -> Link:
        phase = self.graph.row_phase(node)
        assert phase is not None
        changes = isinstance(node, RowNode) and node.changes_text
        return Link(self.folder(node), phase.name, dict(node.adds()), changes)

    def stream(self, chains: dict[Node, tuple[Node, ...]]) -> DocumentStream:
        """A stream from a graph's chains."""
        return DocumentStream(
            shards=tuple(shard for base in chains for shard in self.base_shards(base)),
            chains={self.place(b).short: tuple(self.link(n) for n in chain) for b, chain in chains.items()},
            base_columns={self.place(b).short: self.graph.base_columns(b) for b in chains},
            folders={self.place(b).short: self.folder(b) for b in chains},
        )

    def input_shards(self, node: Node) -> list[BaseShard]:
        """The shards a node's row and shard phases run over."""
        return [shard for base in self.graph.input_chains(node) for shard in self.base_shards(base)]

    def shard_keys(self, node: Node) -> list[str]:
        """The keys of a node's row and shard phases. The driver asks many times a second."""
        if node not in self._keys:
            self._keys[node] = [base.shard.name for base in self.input_shards(node)]
        return self._keys[node]

    def has_done(self, node: Node, phase: str, keys: Sequence[str]) -> bool:
        """Whether every one of these keys has a receipt."""
        done = self.done(node, phase)
        return len(done) >= len(keys) and done.issuperset(keys)

    def binding(self, node: Node, own: dict[str, Sequence[str]], stop_name: str, cpus: int) -> Binding:
        """Return all that the node's tasks need; inputs must be finished, or (rows) be written in the same pass."""
        inputs: dict[str, list[Input]] = {}
        for field, _, parent in self.graph.inputs(node):
            chains = self.graph.chains(parent)
            manifest = self.manifest(parent)
            stream = self.stream(chains) if chains else None
            phases = manifest["phases"] if manifest else {}
            inputs.setdefault(field, []).append(Input(self.place(parent), stream, phases))
        chains = self.graph.input_chains(node)
        return Binding(
            store=self.store.address, place=self.place(node), inputs={k: tuple(v) for k, v in inputs.items()},
            stream=self.stream(chains) if chains else None, sources=self.sources(node), phases=own,
            stop_name=stop_name, cpus=cpus,
        )  # fmt: skip


def reusable(node: Node) -> bool:
    """Whether a row's columns and text hang on nothing but the row and the fields that are no thresholds.

    Then they can be copied from an earlier side-car, and only `decide` be run. A node that removes rows in its function
    instead may have looked at the whole corpus, or at its thresholds, before it changed a text.
    """
    if not isinstance(node, RowNode):
        return False
    if not all(phase.reuse for phase in node.phases() if isinstance(phase, RowPhase)):
        return False
    return type(node).decide is not RowNode.decide or not node.reasons


def per_shard(phase: Phase) -> bool:
    return isinstance(phase, RowPhase | ShardPhase)
