"""The phase `rows`: spans that stand elsewhere are taken out of the documents of one shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.substrings.spans import CopiedSpans, spans_of_shard
from stages.substrings.units import Places, places

if TYPE_CHECKING:
    import pyarrow as pa

NAMED = 10  # spans of one document that its column names


def start(ctx: Context) -> RowFunction:
    """Return the function that cuts spans out of a batch of the shard, or removes documents that consist of them."""
    import pyarrow as pa

    node: Any = ctx.node
    spans = spans_of_shard(ctx)

    def cleaned(table: pa.Table) -> Columns:
        rows = table["_row"].to_numpy()
        low, high = np.searchsorted(spans.row, [rows, rows + 1])  # of each document, its first span and the one behind
        some = np.flatnonzero(high > low)
        words = places(table["text"].take(pa.array(some)), node.unit)
        covered, shares = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.float64)
        origins: list[str | None] = [None] * len(rows)
        named, texts = origins.copy(), origins.copy()
        for k, (i, size) in enumerate(zip(some.tolist(), np.diff(words.stops, prepend=0).tolist(), strict=True)):
            own = slice(int(low[i]), int(high[i]))
            sizes = spans.stop[own] - spans.start[own]
            covered[i], shares[i] = sizes.sum(), sizes.sum() / size
            origins[i], named[i] = spans.origin[own][int(np.argmax(sizes))], _named(spans, own)
            if node.action == "cut" and shares[i] < node.share:
                texts[i] = _cut(words, k, spans.start[own].tolist(), spans.stop[own].tolist())
        share = pa.array(shares)
        gone = pa.array((covered > 0) & (shares >= node.share) & (node.action != "flag"))
        return Columns(
            added={
                "copied_words": covered,
                "copied_share": shares.astype(np.float32),
                "copied_from": pa.array(origins, pa.string()),
                "copied_spans": pa.array(named, pa.string()),
            },
            removed=Removed.where(gone, "substring_dedup.share", value=share, threshold=node.share),
            text=pa.array(texts, pa.string()) if node.action == "cut" else None,
        )

    return cleaned


def _cut(words: Places, document: int, starts: list[int], stops: list[int]) -> str:
    """Return a document without the words of some spans, and without what these words own (see `Places.owned`)."""
    owned = words.owned(document)
    kept = zip([0, *stops], [*starts, len(owned) - 1], strict=True)
    text = b"".join(bytes(words.data[owned[first] : owned[stop]]) for first, stop in kept).decode()
    return text.rstrip() if stops[-1] == len(owned) - 1 else text


def _named(spans: CopiedSpans, own: slice) -> str:
    """Return the spans as `120-310 ID 40`: the words that are copied, the document where they stand first, the word at
    which they begin there.
    """
    shown = slice(own.start, min(own.stop, own.start + NAMED))
    columns = (spans.start[shown], spans.stop[shown], spans.origin[shown], spans.origin_at[shown])
    text = ", ".join(f"{start}-{stop} {origin} {at}" for start, stop, origin, at in zip(*columns, strict=True))
    return text if own.stop == shown.stop else f"{text}, and {own.stop - shown.stop} more"
