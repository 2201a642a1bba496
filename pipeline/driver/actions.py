"""What finished nodes of the store have done already: tasks to link, scores to copy. It changes cost, never bytes.

A task is an action: a rule, and what it takes. Manifests list the actions of their nodes, so a task that is due is
looked for by both, whatever graph it was done in. Where a threshold changed or rows came back, a shard's rows are not
those that they were. Then the scores of single rows are copied from a node with the same rule of scores over the same
shard.

The phases of a pass are looked at in their order: what is linked for one is what the next one reads. Where a phase has
to run again but reads no text, the phases behind it wait until its side-cars are there, since most come out as they
were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contract import Node, Phase, RowPhase, ShardPhase
from pipeline.driver.commit import rule_of
from pipeline.driver.drift import CodeIdentity, code_of
from pipeline.driver.ledger import Ledger
from pipeline.driver.schedule import Key
from pipeline.errors import StoreError
from pipeline.files.json_files import read_json
from pipeline.fingerprint import canonical_json
from pipeline.results.manifests import Manifest
from pipeline.results.receipts import Receipt, data_name, receipt_name
from pipeline.results.seen_receipts import AT_ONCE, READERS, outdated
from pipeline.results.takes import Name, Reads, other_names, reads_of, row_names, rows_taken, shard_taken, takes_rows
from pipeline.worker.context import TaskContext

Joined = Sequence[tuple[Node, RowPhase | ShardPhase]]


def siblings(state: Ledger, node: Node) -> Iterator[tuple[str, Manifest]]:
    """Yield (folder, manifest) of the store's other finished nodes of this kind that today's code and libraries wrote.

    Those with a damaged manifest are left out: they may be of other runs, and nothing hangs on them here.
    """
    own, code = state.folder(node), code_of(node)
    for name in state.store.names("nodes"):
        folder = f"nodes/{name}"
        if name.rpartition("-")[0] == node.kind() and folder != own:
            try:
                manifest = read_json(state.store, f"{folder}/manifest.json", "siftloom verify, then siftloom run")
            except StoreError:
                continue
            if manifest is not None and CodeIdentity.of_manifest(manifest) == code:
                yield folder, manifest


@dataclass
class Actions:
    """Looks for them. `keys` returns those of a phase that may know them, `context` what a node's tasks may read."""

    state: Ledger
    keys: Callable[[Node, Any], Sequence[str]]
    context: Callable[[Node], TaskContext]
    _asked: dict[Key, int] = field(default_factory=dict)  # side-cars before the phase that were there then
    _of_bases: dict[Node, dict[str, str]] = field(default_factory=dict)

    def link(self, node: Node, phase: Phase) -> int:
        """Link the tasks of a phase that another node has done; return how many. It looks again where more of the
        side-cars before the phase are there.
        """
        ready = sum(len(self.state.done(before, name)) for before, name in self._before(node))
        if self._asked.get((node, phase.name)) == ready:
            return 0
        self._asked[node, phase.name] = ready
        wanted: dict[str, tuple[str, Reads | None]] | None = None
        linked = 0
        for folder, manifest in self._same_rule(node, phase):
            if wanted is None:
                wanted = self._wanted(node, phase)
            theirs = {takes: key for key, (_, takes) in listed(manifest, phase.name)}
            pairs = {own: theirs[takes] for own, (takes, _) in wanted.items() if takes in theirs}
            for receipt in self._linked(node, phase, folder, pairs, wanted):
                self.state.note(node, receipt)
                del wanted[receipt.key]
                linked += 1
        return linked

    def until_written(self, joined: Joined) -> Joined:
        """Return the phases of a pass before the first that should wait for the side-cars of those before it."""
        cheap: set[Node] = set()
        for i, (node, phase) in enumerate(joined):
            before = {link for link, _ in self._before(node)} & cheap
            if before and takes_rows(phase, node) and self._may_link(node, phase, before):
                return joined[:i]
            if isinstance(phase, RowPhase) and phase.per_shard and "text" not in phase.needs:
                cheap.add(node)
        return joined

    def scores(self, node: Node) -> dict[str, Name]:
        """Shard name -> (folder, phase, shard name there) of a finished side-car whose values may be copied: of several
        the one with most of them.
        """
        state, link = self.state, self.state.link(node)
        rules = {base: rule for base in state.graph.input_chains(node) if (rule := state.score_rule(node, base))}
        found: dict[str, list[Name]] = {}
        if not rules or not (link.columns or link.changes_text):
            return {}
        for folder, manifest in siblings(state, node):
            if set(rules.values()).isdisjoint(manifest["scores"].values()):
                continue
            tasks = listed(manifest, link.phase)
            theirs = {(manifest["scores"].get(key.partition("-")[0]), shard): key for key, (shard, _) in tasks}
            for base, rule in rules.items():
                for shard, taken in self._shards_taken(base).items():
                    if (rule, taken) in theirs:
                        found.setdefault(shard, []).append((folder, link.phase, theirs[rule, taken]))
        receipts = self._receipts(name for names in found.values() if len(names) > 1 for name in names)
        scored = {name: receipt.counts["alive_in"] for name, receipt in receipts.items()}
        return {shard: max(names, key=lambda name: scored.get(name, 0)) for shard, names in found.items()}

    # what is wanted --------------------------------------------------------------------------------------------------

    def _before(self, node: Node) -> list[Key]:
        """Return the row phases just before a node."""
        last = dict.fromkeys(chain[-1] for chain in self.state.graph.input_chains(node).values() if chain)
        return [(link, self.state.link(link).phase) for link in last]

    def _due(self, node: Node, phase: Phase) -> list[str]:
        done = self.state.done(node, phase.name)
        return [key for key in self.keys(node, phase) if key not in done]

    def _same_rule(self, node: Node, phase: Phase) -> Iterator[tuple[str, Manifest]]:
        """Yield (folder, manifest) of the finished nodes whose phase does the same, where something is due."""
        if self.state.rule(node, phase) is not None and self._due(node, phase):
            rule = rule_of(self.state, node, phase, self.context(node))
            for folder, manifest in siblings(self.state, node):
                if manifest["rules"].get(phase.name) == rule:
                    yield folder, manifest

    def _may_link(self, node: Node, phase: RowPhase | ShardPhase, before: Iterable[Node]) -> bool:
        """Return whether another node did this to a shard that waits for the side-cars of a node before."""
        links = [(link, self.state.link(link).phase) for link in before]
        waiting = {key for link, name in links for key in self.state.shard_keys(link)
                   if key not in self.state.done(link, name)}  # fmt: skip
        waiting &= set(self._due(node, phase))
        bases = self.state.graph.input_chains(node)
        taken = {digest for base in bases for shard, digest in self._shards_taken(base).items() if shard in waiting}
        donors = self._same_rule(node, phase) if taken else ()
        return any(shard in taken for _, manifest in donors for _, (shard, _) in listed(manifest, phase.name))

    def _shards_taken(self, base: Node) -> dict[str, str]:
        """Shard name -> digest of what it holds; of shards whose receipts are damaged none."""
        found = self._of_bases.setdefault(base, {})
        if found:
            return found
        for some in _in_turn(self.state.base_shards(base)):
            receipts = self._receipts((one.folder, one.phase, one.task) for one in some)
            for one in some:
                if (receipt := receipts.get((one.folder, one.phase, one.task))) is not None:
                    found[one.shard.name] = shard_taken(one, receipt)
        return found

    def _wanted(self, node: Node, phase: Phase) -> dict[str, tuple[str, Reads | None]]:
        """Key of each task that is due -> what it takes and, where that is known before it runs, what it reads."""
        due = set(self._due(node, phase))
        if not takes_rows(phase, node):
            return {key: (key, None) for key in due}
        found: dict[str, tuple[str, Reads | None]] = {}
        binding = self.context(node).binding
        for base, chain in self.state.graph.input_chains(node).items():
            links = [self.state.link(link) for link in chain]
            for some in _in_turn([shard for shard in self.state.base_shards(base) if shard.shard.name in due]):
                names = [(row_names(s, links, phase.needs), other_names(binding.only(s), phase)) for s in some]
                receipts = self._receipts(name for rows, others in names for name in (*rows, *others))
                for shard, (rows, others) in zip(some, names, strict=True):
                    read = {name: receipts[name] for name in (*rows, *others) if name in receipts}
                    if len(read) == len({*rows, *others}):
                        found[shard.shard.name] = rows_taken(shard, links, phase.needs, others, read), reads_of(read)
        return found

    def _receipts(self, names: Iterable[Name]) -> dict[Name, Receipt]:
        """Return the receipts of these names that there are."""
        wanted: dict[tuple[str, str], dict[str, None]] = {}
        for folder, phase, key in names:
            wanted.setdefault((folder, phase), {})[key] = None
        found = {}
        for (folder, phase), keys in wanted.items():
            with contextlib.suppress(StoreError):  # a damaged one is for the task that reads it
                found |= {(folder, phase, one.key): one for one in self.state.known.get(folder, phase, list(keys))}
        return found

    # taking over -----------------------------------------------------------------------------------------------------

    def _linked(
        self, node: Node, phase: Phase, donor: str, pairs: Mapping[str, str],
        wanted: Mapping[str, tuple[str, Reads | None]],
    ) -> Iterator[Receipt]:  # fmt: skip
        """Take over tasks (key here -> key there) of another node that it still has whole; yield their receipts."""
        by_rows = takes_rows(phase, node)
        for some in _in_turn(list(pairs.items())):
            try:
                found = {r.key: r for r in self.state.known.get(donor, phase.name, [key for _, key in some])}
                old = set() if by_rows else outdated(self.state.known, found.values())
            except StoreError:  # a damaged receipt: of another run, perhaps, and this one can do without
                continue
            forms = []
            for own, key in some:
                theirs, (takes, reads) = found.get(key), wanted[own]
                if theirs is None or any(count.startswith(f"removed.{node.kind()}.error.") for count in theirs.counts):
                    continue  # what went wrong with a row is tried again
                if (theirs.phase, key) in old or (by_rows and theirs.takes[1] != takes):
                    continue  # done again since the manifest was written
                forms.append((theirs, self._here(node, donor, theirs, own, reads)))
            with ThreadPoolExecutor(min(READERS, len(forms) or 1)) as pool:
                made = pool.map(lambda each: _take_over(self.state, donor, self.state.folder(node), *each), forms)
                yield from (receipt for receipt in made if receipt is not None)

    def _here(self, node: Node, donor: str, theirs: Receipt, key: str, reads: Reads | None) -> Receipt:
        """Return the receipt that a task of another node would have here. What it read of its own node, where that is
        not known before, is read here of this one: linked tasks have equal bytes.
        """
        short, own = donor.removeprefix("nodes/"), self.state.folder(node).removeprefix("nodes/")
        renamed = sorted([own if read[0] == short else read[0], *read[1:]] for read in theirs.reads)
        files = {key + file.removeprefix(theirs.key): entry for file, entry in theirs.files.items()}
        return replace(theirs, key=key, files=files, reads=renamed if reads is None else reads)


def listed(manifest: Manifest, phase: str) -> list[tuple[str, Sequence[str | None]]]:
    """Return key and `takes` of the tasks of a finished phase; a task that takes no rows is named by its key."""
    keys = manifest["phases"].get(phase, ())
    return list(zip(keys, manifest["takes"].get(phase) or [(None, key) for key in keys], strict=True))


def _in_turn(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _take_over(state: Ledger, donor: str, folder: str, theirs: Receipt, made: Receipt) -> Receipt | None:
    """Link the files of a task of another node and write its receipt here; None where a file is not there whole, or is
    just being cleaned away.
    """
    for there, here in zip(theirs.files, made.files, strict=True):
        source = data_name(donor, theirs.phase, there)
        if state.store.size(source) != theirs.files[there]["size"]:
            return None
        try:
            state.store.link(source, data_name(folder, made.phase, here))
        except FileNotFoundError:
            return None
    state.store.write(receipt_name(folder, made.phase, made.key), canonical_json(made.form()))
    return made
