"""What a task over a shard takes: the names of what it reads, and one digest of the content that it takes of them.

Two tasks of one rule (`pipeline.driver.identities`) that take the same write the same. Of a side-car a phase takes
which rows are alive, and of these the columns that it needs: a copy more in a corpus changes the number of copies in
every shard that has one, and no row that is alive. Of all else it takes files and facts, whatever the shard is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from pipeline.contract import NewShard, Node, Phase, RowNode, RowPhase, ShardPhase
from pipeline.fingerprint import digest
from pipeline.results.binding import BaseShard, Binding, Link
from pipeline.results.receipts import Receipt

Name = tuple[str, str, str]  # folder, phase, key
Reads = Sequence[Sequence[str]]  # as a receipt has them


def takes_rows(phase: Phase, node: Node) -> TypeGuard[RowPhase | ShardPhase]:
    """Whether a task of the phase is a function of the rows of its shard, of what `whole` says, and of the node's other
    inputs and earlier phases.
    """
    if node.new_base is not None:
        return False
    if isinstance(phase, ShardPhase):
        return phase.whole is not None
    return isinstance(phase, RowPhase) and not phase.per_shard and reusable(node)


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


def row_names(base: BaseShard, chain: Sequence[Link], needs: Sequence[str]) -> list[Name]:
    """Return what the rows of a shard hang on: the shard, the side-cars of needed columns, the nearest state."""
    links = [link for link in chain if taken(link, needs) or link is chain[-1]]
    return [(base.folder, base.phase, base.task), *((link.folder, link.phase, base.shard.name) for link in links)]


def other_names(binding: Binding, phase: RowPhase | ShardPhase) -> list[Name]:
    """Return what a task that takes rows may read beside them: the node's earlier phases, and for a row function, which
    is opened once for many shards, all of the node's other inputs. `binding` holds one shard.
    """
    node = binding.place.node
    names = [(binding.place.folder, name, key) for name, keys in binding.phases.items() for key in keys]
    if isinstance(phase, RowPhase):
        others = [i for field, inputs in binding.inputs.items() if field != node.stream for i in inputs]
        names += [
            (i.place.folder, name, key) for i in others for name, keys in (i.phases or {}).items() for key in keys
        ]
    return names


def taken(link: Link, needs: Sequence[str]) -> list[str]:
    """Return the columns that a phase with these needs takes of a node's side-cars, their state apart."""
    text = ["text"] if link.changes_text and "text" in needs else []
    return [*text, *(name for name in link.columns if name in needs)]


def reads_of(read: Mapping[Name, Receipt]) -> Reads:
    """Return what a receipt says of what its task has read."""
    return sorted([folder.removeprefix("nodes/"), phase, key, one.digest] for (folder, phase, key), one in read.items())


def shard_taken(base: BaseShard, receipt: Receipt) -> str:
    """Return a digest of a base shard: equal ones have the same rows under the same numbers. `receipt` is that of the
    task that laid it down, perhaps with very many others.
    """
    shard, place = base.shard, base.in_place
    files = [receipt.files[name]["sha256"] for name in (base.file, base.state_file) if name is not None]
    form = place and NewShard(key=shard.key, rows=shard.rows, text_bytes=shard.text_bytes, in_place=place).form()
    return _short([shard.key, shard.rows, files, form])


def rows_taken(
    base: BaseShard,
    chain: Sequence[Link],
    needs: Sequence[str],
    others: Iterable[Name],
    read: Mapping[Name, Receipt],
) -> str:
    """Return a digest of all that a task takes. `others` are the names that `other_names` returned; `read` holds what
    they and `row_names` name.
    """
    first, *links = row_names(base, chain, needs)
    columns = {(link.folder, link.phase): ["state", *taken(link, needs)] for link in chain}
    of_links = [[[name, read[link].columns[name]] for name in columns[link[:2]]] for link in links]
    beside = [[name[1], name[2].replace(base.shard.name, ""), _content(read[name])] for name in others]
    return _short([shard_taken(base, read[first]), list(needs), of_links, beside])


def _content(receipt: Receipt) -> list[Any]:
    """Return what a task wrote, without the name of its shard."""
    files = {name.removeprefix(receipt.key): entry["sha256"] for name, entry in receipt.files.items()}
    return [files, dict(receipt.facts)]


def _short(form: Any) -> str:
    return digest(form)[:24]
