"""The phase `items`: the evaluation sets are read, and their n-grams hashed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.contract import Context, Result, Source, one
from pipeline.errors import DataError
from stages.decontaminate.forms import one_form_of
from stages.decontaminate.grams import gram_hashes
from stages.dedup.record_files import put
from stages.hashing.shingles import words
from stages.hashing.sketch import word_hashes
from stages.read.record_to_row import LONGEST
from stages.read.streams import Watched, codec_of, decompress, lines

MIN_WORDS = 2  # of an n-gram that are no numbers: rows of figures are alike everywhere
DIGITS = "0123456789_"
PAIR = np.dtype([("gram", "<u4"), ("item", "<u4")])

task_keys = one


def run(ctx: Context, key: str) -> Result:
    """Write `-grams.npy` and `-starts.npy` (see `Grams`), `-pairs.npy` (PAIR), `.json` (names, gram counts, sets)."""
    node: Any = ctx.node
    names: list[str] = []
    sizes: list[int] = []
    sets: list[list[Any]] = []
    by_width: dict[int, list[tuple[np.ndarray, int]]] = {node.ngram: [], node.short_ngram: []}
    for source in ctx.sources("evals"):
        label, short, first = source.digest[:12], 0, len(names)  # not its name, which is no part of the identity
        for line, item in read_items(ctx, source):
            grams = item_grams(texts_of(item, node.fields), node.ngram, node.short_ngram, node.unit)
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
        put(ctx, ext, array)
    with ctx.create(".json") as path:
        path.write_text(json.dumps({"names": names, "sizes": sizes, "sets": sets}))
    return Result({"items": len(names), "grams": starts[-1]})


def read_items(ctx: Context, source: Source) -> Iterator[tuple[int, Any]]:
    """Yield (line, parsed item) of a JSON-lines file. Raises DataError, which names a line that is no JSON, and
    SourceError for a packed file that is damaged."""
    with ctx.open_source(source) as raw:
        chunks = decompress(Watched(raw, source, source.digest), codec_of(raw, source))
        for number, line in enumerate(lines(chunks, LONGEST)):
            try:
                if line is None:
                    raise ValueError(f"more than {LONGEST / 1e6:.0f} MB")
                if line.strip():
                    yield number, json.loads(line)
            except (ValueError, RecursionError) as err:
                raise DataError(f"{source.name}, line {number + 1}", f"{err}", "one JSON value a line") from err


def texts_of(item: Any, fields: tuple[str, ...]) -> list[str]:
    """Return the strings of an item, in order; of the named fields only when there are names."""
    if isinstance(item, str):
        return [item]
    if isinstance(item, list):
        return [text for part in item for text in texts_of(part, ())]
    if isinstance(item, dict):
        return [text for name, part in item.items() if not fields or name in fields for text in texts_of(part, ())]
    return []


def item_grams(texts: list[str], ngram: int, short_ngram: int, unit: Any) -> list[tuple[int, np.ndarray]]:
    """Return (width, hashes uint64[g]) of every text that is long enough, without the n-grams of bare numbers."""
    found = []
    for text in map(one_form_of, texts):
        hashes = word_hashes(text, unit)
        width = ngram if len(hashes) >= ngram else short_ngram
        if len(hashes) >= width:
            named = np.array([bool(word.strip(DIGITS)) for word in words(text, unit)])
            enough = np.lib.stride_tricks.sliding_window_view(named, width).sum(axis=1) >= min(MIN_WORDS, width)
            if enough.any():
                found.append((width, gram_hashes(hashes, width)[enough]))
    return found
