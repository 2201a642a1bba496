"""Which documents must never be trained on, when the documents to pack do not carry the mark themselves.

A model trained on unfiltered documents is compared with one trained on filtered ones, on the same held-out
documents. The split comes late in the filtered branch; so the documents that it holds out, and every copy
of them that a dedup on the way removed, are looked up there and left out here.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.contract import Context

DUPLICATE_OF = "duplicate_of"


def barred_documents(ctx: Context, of: str) -> Iterator[tuple[str, str, list[int]]]:
    """(base, shard key, base rows) of documents that the node `of` holds out, or that are duplicates of one
    held out.
    """
    copies = duplicate_columns(ctx, of)
    held: set[str] = set()
    original: dict[str, str] = {}  # a removed duplicate -> the document it was held against
    places: dict[str, tuple[str, str, int]] = {}
    for shard, table in ctx.column_rows(["id", "_row", "held_out", *copies], of=of):
        names, rows = table["id"].to_pylist(), table["_row"].to_pylist()
        for name, row, mark in zip(names, rows, table["held_out"].to_pylist(), strict=True):
            places[name] = (shard.base, shard.key, row)
            if mark:
                held.add(name)
        for column in copies:
            original.update(
                (name, kept)
                for name, kept in zip(names, table[column].to_pylist(), strict=True)
                if kept and kept != name
            )
    barred = set(held)
    for name in original:
        path, seen = [name], {name}
        # one dedup may have kept what a later one removed, so the original's original counts too
        while (parent := original.get(path[-1])) is not None and parent not in seen:
            path.append(parent)
            seen.add(parent)
        if path[-1] in held or any(step in held for step in path):
            barred.add(name)
    by_shard: dict[tuple[str, str], list[int]] = {}
    for name in barred:
        if name in places:
            base, key, row = places[name]
            by_shard.setdefault((base, key), []).append(row)
    for (base, key), rows in sorted(by_shard.items()):
        yield base, key, sorted(rows)


def duplicate_columns(ctx: Context, of: str) -> list[str]:
    """Columns of the node that name the document a row duplicates: `duplicate_of`, and those renamed
    `..._duplicate_of`.
    """
    found: list[str] = []
    node = ctx.input(of)
    while node is not None and not isinstance(node, tuple):
        found += [name for name in node.adds() if name.endswith(DUPLICATE_OF) and name not in found]
        node = getattr(node, node.stream, None)
    return [name for name in found if ctx.has_column(name, of)]
