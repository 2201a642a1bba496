"""The figures of a finished `read`: what was put aside, which files were left out, and their encodings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.contract import Context
from stages.read import damaged


def figures(ctx: Context) -> Iterator[Mapping[str, Any]]:
    aside: Counter[str] = Counter()
    notes: dict[str, Counter[str]] = {"encodings": Counter(), "looks_like": Counter()}
    results = [ctx.result("shards", key) for key in ctx.keys("shards")]
    for result in results:
        for name, count in result.counts.items():
            if name.startswith("rejected."):
                aside[name.removeprefix("rejected.")] += count
        for name, counter in notes.items():
            counter.update(result.facts.get(name, {}))
    titles = {
        "Rows put aside": aside,
        "Files read from another encoding than UTF-8": notes["encodings"],
        "Files with rows that are not UTF-8, by the `encoding:` that they look like": notes["looks_like"],
    }
    for title, bars in titles.items():
        if bars:
            labels = sorted(bars)
            yield {"kind": "bars", "title": title, "labels": labels, "values": [bars[name] for name in labels]}
    yield from damaged.table((result.facts for result in results), ctx.sources())
