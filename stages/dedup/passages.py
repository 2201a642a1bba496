"""The tasks of `decontaminate` that search: n-grams of the items, where they occur, which items that makes."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from pipeline.errors import DataError
from stages.dedup import kernel_numpy
from stages.dedup.codepoints import ALONE, code_points
from stages.dedup.records import save
from stages.dedup.rows import first_rows
from stages.dedup.shingles import words
from stages.dedup.sketch import best_form, buffers, scratch
from stages.loops.constants import BASE
from stages.loops.machine_code import Loop

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.dedup.decontaminate import Decontaminate

LEAST_DOCUMENTS = 100  # an n-gram in so many documents or fewer is never boilerplate
LEAST_WORDS = 2  # of an n-gram that are no numbers: rows of figures are alike everywhere
DIGITS = "0123456789_"
SHOWN = 20
HIT = np.dtype([("row", "<u4"), ("gram", "<u4")])
PAIR = np.dtype([("gram", "<u4"), ("item", "<u4")])


@dataclass(frozen=True)
class Grams:
    """The n-grams of the evaluation sets.

    widths  int64[w]
    starts  int64[w + 1]: those of widths[j] are hashes[starts[j] : starts[j + 1]], sorted
    hashes  uint64[g]
    """

    widths: np.ndarray
    starts: np.ndarray
    hashes: np.ndarray


def items(ctx: Context) -> Result:
    """Read the sets: `-grams.npy` and `-starts.npy`, `-pairs.npy` (gram, item), `.json` (names, gram counts)."""
    node: Decontaminate = ctx.node  # type: ignore[assignment]
    names: list[str] = []
    sizes: list[int] = []
    sets: list[list[Any]] = []
    by_width: dict[int, list[tuple[np.ndarray, int]]] = {node.ngram: [], node.short_ngram: []}
    for source in ctx.sources("evals"):
        label, short, first = source.digest[:12], 0, len(names)  # not its name, which is no part of the identity
        for line, item in read_items(ctx, source):
            grams = item_grams(node, texts_of(item, node.fields))
            short += not grams
            for width, found in grams:
                by_width[width].append((found, len(names)))
            names.append(f"{label}:{line}")
            sizes.append(len(np.unique(np.concatenate([g for _, g in grams]))) if grams else 0)
        sets.append([label, len(names) - first, short])
    hashes, starts, pairs = [], [0], []
    for width in sorted(by_width):
        grams = np.concatenate([np.zeros(0, np.uint64), *(g for g, _ in by_width[width])])
        owner = np.concatenate([np.zeros(0, np.int64), *(np.full(len(g), i) for g, i in by_width[width])])
        distinct, at = np.unique(grams, return_inverse=True)
        pair = np.unique(np.stack([at + starts[-1], owner], axis=1), axis=0)
        pairs.append(np.rec.fromarrays(pair.T.astype(np.uint32), dtype=PAIR).view(np.ndarray))
        hashes.append(distinct)
        starts.append(starts[-1] + len(distinct))
    for ext, array in (
        ("-grams.npy", np.concatenate(hashes)),
        ("-starts.npy", np.array(starts)),
        ("-pairs.npy", np.concatenate(pairs)),
    ):
        with ctx.create(ext) as path:
            save(path, array)
    with ctx.create(".json") as path:
        path.write_text(json.dumps({"names": names, "sizes": sizes, "sets": sets}))
    return Result({"items": len(names), "grams": starts[-1]})


def read_items(ctx: Context, source) -> Iterator[tuple[int, Any]]:
    """(line, parsed item) of a JSON-lines file; DataError names the line that is none."""
    with ctx.open_source(source) as raw:
        file = gzip.open(raw) if source.name.endswith(".gz") else raw
        for number, line in enumerate(io.BufferedReader(file)):  # type: ignore[arg-type]
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, UnicodeDecodeError) as err:
                raise DataError(f"{source.name}, line {number + 1}", f"{err}", "one JSON value a line") from err


def texts_of(item: Any, fields: tuple[str, ...]) -> list[str]:
    """The strings of an item, in order; of the named fields only when there are names."""
    if isinstance(item, str):
        return [item]
    if isinstance(item, list):
        return [text for part in item for text in texts_of(part, ())]
    if isinstance(item, dict):
        return [text for name, part in item.items() if not fields or name in fields for text in texts_of(part, ())]
    return []


def item_grams(node: Decontaminate, texts: list[str]) -> list[tuple[int, np.ndarray]]:
    """(width, hashes) of every text of an item that is long enough, without the n-grams of bare numbers."""
    found = []
    for text in texts:
        tokens = text_tokens(text, node.unit)
        width = node.ngram if len(tokens) >= node.ngram else node.short_ngram
        if len(tokens) >= width:
            named = np.array([bool(word.strip(DIGITS)) for word in words(text, node.unit)])
            enough = np.lib.stride_tricks.sliding_window_view(named, width).sum(axis=1) >= min(LEAST_WORDS, width)
            if enough.any():
                found.append((width, gram_hashes(tokens, width)[enough]))
    return found


def text_tokens(text: str, unit: str) -> np.ndarray:
    return kernel_numpy.token_hashes([text.encode("utf-8", "replace").replace(b"\0", b" ")], unit)[0]


def gram_hashes(tokens: np.ndarray, width: int) -> np.ndarray:
    """uint64[t - width + 1]: the hash of every run of `width` words."""
    with np.errstate(over="ignore"):
        windows = np.lib.stride_tricks.sliding_window_view(tokens, width)
        h = np.zeros(len(windows), np.uint64)
        for j in range(width):
            h = h * np.uint64(BASE) + windows[:, j]
        return kernel_numpy.fmix64(h)


def load_grams(ctx: Context) -> Grams:
    node: Decontaminate = ctx.node  # type: ignore[assignment]
    widths = np.array(sorted({node.ngram, node.short_ngram}), np.int64)
    starts = np.load(ctx.path("items", "all", "-starts.npy"))
    return Grams(widths, starts, np.load(ctx.path("items", "all", "-grams.npy")))


@Loop
def _find_passages():
    from stages.loops.passages import find_passages

    return find_passages


def find(text: pa.ChunkedArray, grams: Grams, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """(document int64[h], gram int64[h]) of every n-gram of the sets in the documents, in order of document."""
    data, offsets = buffers(text)
    if best_form() == "numpy":
        found = [_find_numpy(data[a:b].tobytes(), grams, unit) for a, b in pairwise(offsets.tolist())]
        owner = np.repeat(np.arange(len(found)), [len(g) for g in found])
        return owner, np.concatenate([np.zeros(0, np.int64), *found])
    table = code_points()
    bits = max(10, len(grams.hashes).bit_length() + 4)
    shift = np.uint64(64 - bits)
    filters = np.zeros((len(grams.widths), 1 << (bits - 3)), np.uint8)
    for j, (a, b) in enumerate(pairwise(grams.starts)):
        bit = (grams.hashes[a:b] >> shift).astype(np.int64)
        np.bitwise_or.at(filters[j], bit >> 3, np.uint8(1) << (bit & 7).astype(np.uint8))
    how = (unit == "char", ALONE if unit == "auto" else 0)
    space = scratch(offsets, int(grams.widths.max()))
    room, hits = 4096, np.zeros(1, np.int64)
    while True:
        rows, gram = np.empty(room, np.int64), np.empty(room, np.int64)
        _find_passages(
            data, offsets, table.utf8, table.flags, *how,
            grams.widths, grams.hashes, grams.starts, filters, shift, rows, gram, hits, *space,
        )  # fmt: skip
        if hits[0] <= room:
            return rows[: hits[0]], gram[: hits[0]]
        room = int(hits[0])


def _find_numpy(text: bytes, grams: Grams, unit: str) -> np.ndarray:
    tokens, _ = kernel_numpy.token_hashes([text.replace(b"\0", b" ")], unit)
    found = [np.zeros(0, np.int64)]
    for j, width in enumerate(grams.widths):
        known = grams.hashes[grams.starts[j] : grams.starts[j + 1]]
        if len(tokens) < width or not len(known):
            continue
        seen = gram_hashes(tokens, int(width))
        at = np.minimum(np.searchsorted(known, seen), len(known) - 1)
        found.append(at[known[at] == seen] + grams.starts[j])
    return np.concatenate(found)


class HitWriter:
    """`ShardWriter` of the phase `hits`: (row, gram) once each, by row."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.grams = ctx, load_grams(ctx)
        self.parts = [np.zeros(0, HIT)]
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        owner, gram = find(table["text"], self.grams, self.ctx.node.unit)  # type: ignore[attr-defined]
        self.rows += len(table)
        row = table["_row"].to_numpy()[owner]
        pairs = np.unique(row.astype(np.uint64) << np.uint64(32) | gram.astype(np.uint64))
        part = np.empty(len(pairs), HIT)
        part["row"], part["gram"] = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
        self.parts.append(part)

    def finish(self) -> Result:
        hits = np.concatenate(self.parts)
        with self.ctx.create(".npy") as path:
            save(path, hits)
        return Result({"documents": self.rows, "hits": len(hits)})


def matches(ctx: Context) -> Result:
    """Cut boilerplate by document frequency. `.npy`: n-grams left; `.parquet`: item, shard, row, hits, coverage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    node: Decontaminate = ctx.node  # type: ignore[assignment]
    shards = ctx.shards("docs")
    documents = sum(ctx.result("hits", shard.name).counts["documents"] for shard in shards)
    hits = [np.load(ctx.path("hits", shard.name, ".npy")) for shard in shards]
    count = int(np.load(ctx.path("items", "all", "-starts.npy"))[-1])
    frequency = np.sum([np.bincount(h["gram"], minlength=count) for h in hits], axis=0) if hits else np.zeros(count)
    speaks = frequency <= max(LEAST_DOCUMENTS, node.boilerplate * documents)
    with ctx.create(".npy") as path:
        save(path, speaks)
    known = json.loads(ctx.path("items", "all", ".json").read_text())
    pairs, sizes = np.load(ctx.path("items", "all", "-pairs.npy")), np.array(known["sizes"])
    first = first_rows(s.rows for s in shards)
    dense = np.concatenate([np.zeros(0, np.int64), *(h["row"] + f for h, f in zip(hits, first, strict=False))])
    gram = np.concatenate([np.zeros(0, np.uint32), *(h["gram"] for h in hits)])
    dense, item, found = match(dense[speaks[gram]], gram[speaks[gram]], pairs, node.min_hits)
    shard = np.searchsorted(first, dense, side="right") - 1
    names = np.array([*known["names"], ""])
    table = pa.table(
        {
            "item": pa.array(names[item].tolist(), pa.string()),
            "shard": pa.array([shards[i].name for i in shard.tolist()], pa.string()),
            "row": dense - first[shard],
            "hits": found.astype(np.int32),
            "coverage": (found / np.maximum(sizes[item], 1)).astype(np.float32),
        }
    )
    with ctx.create(".parquet") as path:
        pq.write_table(table, path, compression="zstd", write_statistics=False)
    return Result(
        {"documents": documents, "contaminated": len(np.unique(dense)), "boilerplate": int((~speaks).sum())},
        _facts(known, item),
    )


def match(
    dense: np.ndarray, gram: np.ndarray, pairs: np.ndarray, min_hits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, item, n-grams of the item in the row) from (row, gram), for rows of at least `min_hits` n-grams."""
    rows, counts = np.unique(dense, return_counts=True)
    enough = np.isin(dense, rows[counts >= min_hits])
    dense, gram = dense[enough], gram[enough]
    low, high = (np.searchsorted(pairs["gram"], gram, side) for side in ("left", "right"))
    owners = high - low
    at = np.repeat(low, owners) + np.arange(owners.sum()) - np.repeat(np.cumsum(owners) - owners, owners)
    both = np.stack([np.repeat(dense, owners), pairs["item"][at].astype(np.int64)], axis=1)
    both, found = np.unique(both.reshape(-1, 2), axis=0, return_counts=True)
    return both[:, 0], both[:, 1], found


def _facts(known: dict, item: np.ndarray) -> dict:
    items, documents = np.unique(item, return_counts=True)
    order = np.lexsort((items, -documents))[:SHOWN]
    first, sets = 0, []
    for label, count, short in known["sets"]:
        inside = (items >= first) & (items < first + count)
        sets.append([label, count, int(inside.sum()), short])
        first += count
    return {"most": [[known["names"][items[i]], int(documents[i])] for i in order], "sets": sets[:200]}
