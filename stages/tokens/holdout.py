"""Which documents must never be trained on, when the documents to pack do not carry the mark themselves.

A model trained on unfiltered documents is compared with one trained on filtered ones, on the same held-out documents.
The split comes late in the filtered branch. So the documents that it holds out, and every copy of them that a dedup
on the way removed, are looked up there and left out here.

Ids and clusters are kept as keyed 64-bit hashes, and only of rows that are held out or linked to another row: 16 bytes
a link. Two ids that share a hash could bar one document too many, and none too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.contract import Context, Node
from stages.chance import draws
from stages.documents import CLUSTER_ID, HELD_OUT, ID, columns_of

DUPLICATE_OF = "duplicate_of"  # and every column whose name ends so: the document that a removed row is a copy of


def barred_documents(ctx: Context, of: str) -> Iterator[tuple[str, str, list[int]]]:
    """(base, shard key, base rows) of documents that the node `of` holds out, and of all copies of them."""
    columns = link_columns(ctx.input(of))
    held: list[np.ndarray] = []
    links: list[tuple[np.ndarray, np.ndarray]] = []  # a document and what it is a copy of: an id, or a cluster
    for _, table in ctx.column_rows([ID, HELD_OUT, *columns], of=of):
        held.append(_hashes(table.filter(table[HELD_OUT])[ID].to_pylist()))
        for column in columns:
            linked = table.filter(table[column].is_valid())
            if linked.num_rows:
                purpose = CLUSTER_ID if column == CLUSTER_ID else ID
                links.append((_hashes(linked[ID].to_pylist()), _hashes(linked[column].to_pylist(), purpose)))
                if column == CLUSTER_ID:  # a member leads to its cluster as the cluster leads to its members
                    links.append((links[-1][1], links[-1][0]))
    barred = _closure(np.concatenate([np.zeros(0, np.uint64), *held]), links)
    rows: list[int] = []
    last = None
    for shard, table in ctx.column_rows([ID, "_row"], of=of):
        if last is not None and shard != last and rows:
            yield last.base, last.key, rows
            rows = []
        last = shard
        found = np.isin(_hashes(table[ID].to_pylist()), barred)
        rows = rows + np.asarray(table["_row"])[found].tolist()
    if last is not None and rows:
        yield last.base, last.key, rows


def link_columns(docs: Node) -> list[str]:
    """Columns of the documents that tie copies together."""
    return [name for name in columns_of(docs) if name == CLUSTER_ID or name.endswith(DUPLICATE_OF)]


def _closure(barred: np.ndarray, links: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Everything that leads to a barred document over any number of links.

    One dedup may keep what a later one removes, so a copy of a copy is barred too.
    """
    children, parents = (np.concatenate([np.zeros(0, np.uint64), *(link[i] for link in links)]) for i in (0, 1))
    barred = np.unique(barred)
    new = barred
    while len(new):
        new = np.setdiff1d(children[np.isin(parents, new)], barred)
        barred = np.union1d(barred, new)
    return barred


def _hashes(names: Iterable[str], purpose: str = ID) -> np.ndarray:
    return draws([str(name) for name in names], 0, f"holdout/{purpose}")
