"""Which documents must never be trained on, when the documents to pack do not carry the mark themselves.

A model trained on unfiltered documents is compared with one trained on filtered ones, on the same held-out documents.
The split comes late in the filtered branch; so the documents that it holds out, and every copy of them that a dedup
on the way removed, are looked up there and left out here.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.contract import Context, Node
from stages.documents import CLUSTER_ID, HELD_OUT, ID, columns_of

DUPLICATE_OF = "duplicate_of"  # and every column whose name ends so: the document that a removed row is a copy of


def barred_documents(ctx: Context, of: str) -> Iterator[tuple[str, str, list[int]]]:
    """(base, shard key, base rows) of documents that the node `of` holds out, and of all copies of them."""
    columns = link_columns(ctx.input(of))
    places: dict[str, tuple[str, str, int]] = {}
    cluster: dict[str, str] = {}
    original: dict[str, list[str]] = {}
    barred: set[str] = set()
    for shard, table in ctx.column_rows([ID, "_row", HELD_OUT, *columns], of=of):
        values = {name: table[name].to_pylist() for name in (ID, "_row", HELD_OUT, *columns)}
        for i, name in enumerate(values[ID]):
            places[name] = (shard.base, shard.key, values["_row"][i])
            if values[HELD_OUT][i]:
                barred.add(name)
            for column in columns:
                if values[column][i] is None:
                    continue
                if column == CLUSTER_ID:
                    cluster[name] = values[column][i]
                else:
                    original.setdefault(name, []).append(values[column][i])
    held_clusters = {cluster[name] for name in barred if name in cluster}
    barred |= {name for name, number in cluster.items() if number in held_clusters}
    barred |= {name for name in original if _leads_to(barred, name, original)}
    rows: dict[tuple[str, str], list[int]] = {}
    for base, key, row in sorted(places[name] for name in barred if name in places):
        rows.setdefault((base, key), []).append(row)
    for (base, key), found in rows.items():
        yield base, key, found


def link_columns(docs: Node) -> list[str]:
    """Columns of the documents that tie copies together."""
    return [name for name in columns_of(docs) if name == CLUSTER_ID or name.endswith(DUPLICATE_OF)]


def _leads_to(barred: set[str], name: str, original: dict[str, list[str]]) -> bool:
    """Whether a chain of copies ends in the set: one dedup may have kept what a later one removed."""
    todo, seen = [name], {name}
    while todo:
        for parent in original.get(todo.pop(), ()):
            if parent in barred:
                return True
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return False
