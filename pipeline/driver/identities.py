"""What names the nodes of a graph, and what their tasks do: fingerprints, the rules of phases, the rules of scores.

A *rule* says what the tasks of a phase do, and nothing of what they do it to. A task is known by its rule and by what
it takes (`pipeline.results.takes`): where both are equal, so are the bytes. A node's fingerprint stands for the node
with all that is behind it.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import Any

from pipeline import fingerprint as identity
from pipeline.contract import Node, Phase, Source
from pipeline.errors import GraphError, SourceError
from pipeline.files.objects import Store
from pipeline.files.sources import Listing, expand
from pipeline.graph import Graph
from pipeline.inputs import nodes_in
from pipeline.results.binding import Place
from pipeline.results.takes import reusable, takes_rows


class Identities:
    """The identities of a graph's nodes; those that hang on source files are known once these are digested."""

    def __init__(self, graph: Graph, store: Store) -> None:
        self.graph, self.store = graph, store
        self.listings: dict[tuple[Node, str], Listing] = {}
        self._digests: dict[str, list[str]] = {}
        self._fingerprints: dict[Node, str] = {}
        self._rules: dict[tuple[Node, str], str | None] = {}
        self._score_rules: dict[tuple[Node, Node], str | None] = {}
        self._waiting: set[tuple[Node, str]] | None = None  # fields of paths whose digests are not known
        for node in graph.nodes:
            for field in dataclasses.fields(node):
                value = getattr(node, field.name)
                if field.metadata.get("role") == "sources" and value:
                    place = f"{graph.names[node]}.{field.name}"
                    left_out = getattr(node, "exclude", ()) if field.name == "paths" else ()
                    found = expand(value, place, field.metadata["schemes"], left_out)
                    if field.metadata.get("one") and len(found.entries) != 1:
                        raise SourceError(place, f"{len(found.entries)} files", "one file")
                    node.source_marks(field.name, [entry.name for entry in found.entries])  # names that it refuses
                    self.listings[node, field.name] = found

    # fingerprints ----------------------------------------------------------------------------------------------------

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

    def _source_forms(self, node: Node) -> dict[str, Any]:
        """What stands for the node's fields of paths in a key that does not hang on the paths."""
        return {
            field: identity.source_form(node, field, [s.name for s in files], [s.digest for s in files])
            for field, files in self.sources(node).items()
        }

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

    # rules -----------------------------------------------------------------------------------------------------------

    def rule(self, node: Node, phase: Phase) -> str | None:
        """Return what a phase does, for a node whose fingerprint is known. None where no other node may do the same.

        Of a base whose keys say what its tasks read, the files it is given do not count; of a phase that takes rows
        (`takes_rows`), the nodes behind the rows do not. Else the inputs and the phases before it are part of the rule.
        """
        if (node, phase.name) not in self._rules:
            self._rules[node, phase.name] = self._rule(node, phase)
        return self._rules[node, phase.name]

    def _rule(self, node: Node, phase: Phase) -> str | None:
        stand_ins, skipped, only = self._source_forms(node), ["runtime"], None
        if node.content_keys:
            skipped += ["sources", "reach"]
        else:
            phases = self.graph.phases(node)
            so_far = phases[: [each.name for each in phases].index(phase.name) + 1]
            if takes_rows(phase, node):
                stand_ins[node.stream], so_far = None, (phase,)
            declared = [each.fields for each in so_far if each.fields is not None]
            if len(declared) == len(so_far):
                inputs = [f.name for f in dataclasses.fields(node) if any(nodes_in(getattr(node, f.name)))]
                only = {*inputs, *itertools.chain(*declared)}
            elif not takes_rows(phase, node):
                return None
        form = identity.node_form(node, self.fingerprint, stand_ins, skip_roles=skipped, only=only)
        return identity.digest({"phase": phase.name, **form})

    def score_rule(self, node: Node, base: Node) -> str | None:
        """Return how a node's columns, and its texts, come of the rows of a base: equal rules over equal shards make
        equal ones for the rows that both have scored. None for a node whose columns cannot be copied.
        """
        for one in (*self.graph.input_chains(node)[base], node):  # in order, so that none asks further back
            if (one, base) not in self._score_rules:
                self._score_rules[one, base] = self._score_rule(one, base)
        return self._score_rules[node, base]

    def _score_rule(self, node: Node, base: Node) -> str | None:
        phase = self.graph.row_phase(node)
        if phase is None or not reusable(node):
            return None
        providers = self.graph.providers(self.graph.input_chains(node)[base], base)
        makers = [(name, providers.get(name, base)) for name in phase.needs]
        taken = [
            [name, None if maker is base else self._score_rules[maker, base] or self.fingerprint(maker)]
            for name, maker in makers
        ]
        stand_ins = {**self._source_forms(node), node.stream: taken}
        form = identity.node_form(node, self.fingerprint, stand_ins, skip_roles=("runtime", "threshold"))
        return identity.digest({"scores": form})
