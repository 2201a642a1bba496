"""The phase `verdict`: sums over all groups, after which the guard lets rows go or stops the run."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from pipeline.contract import Context, Result, one
from stages.dedup.corpus import KEYS, Corpus, corpus, locate
from stages.dedup.guard import require_few_removed
from stages.dedup.method import Method

EXCERPT = 2000  # characters of an example's text
DIFFS = 2  # examples with both texts

task_keys = one


def run(ctx: Context, key: str) -> Result:
    """Add up all groups, and write the ten largest clusters with texts (`.json`).

    Raises TooMuchRemoved, before any row is removed.
    """
    node: Method = ctx.node  # type: ignore[assignment]
    rows = corpus(ctx)
    documents, removed = Counter[str](), Counter[str]()
    keyed = 0
    for shard in ctx.shards("docs"):
        result = ctx.result(KEYS, shard.name)
        keyed += result.counts["keyed"]
        documents.update(dict(zip(result.facts["sources"], result.facts["documents"], strict=True)))
    groups = [ctx.result("keep", key) for key in ctx.keys("keep")]
    examples: dict[str, list] = {}
    for group in groups:
        removed.update(group.facts["removed"])
        for name, some in group.facts["examples"].items():
            examples[name] = [*examples.get(name, []), *some][:3]
    largest = sorted((c for g in groups for c in g.facts["largest"]), key=lambda c: (-c["size"], c["row"]))[:10]
    sizes = np.zeros(max(len(g.facts["sizes"]) for g in groups), np.int64)
    for group in groups:
        sizes[: len(group.facts["sizes"])] += group.facts["sizes"]
    if not node.dry_run:
        require_few_removed(node, documents, removed, examples)
    with ctx.create(".json") as path:
        path.write_text(json.dumps(with_texts(ctx, rows, largest)))
    pairs = np.sum([g.facts["pairs"] for g in groups], axis=0)
    counts = {"documents": documents.total(), "keyed": keyed}
    for name in ("members", "removed_near", "removed_copies"):
        counts[name] = sum(g.counts[name] for g in groups)
    shares = [[name, documents[name], removed[name]] for name, _ in documents.most_common(100) if documents[name]]
    return Result(counts, {"sizes": sizes.tolist(), "pairs": pairs.tolist(), "sources": shares})


def with_texts(ctx: Context, rows: Corpus, largest: list[dict]) -> list[dict[str, Any]]:
    """Return the clusters with the beginning of the text of their first removed document.

    The first few that were removed for a resemblance get the kept document's text too.
    """
    first = [c["examples"][0] for c in largest if c["examples"]]
    shown = [e for e in first if e["estimate"] < 1][:DIFFS]
    wanted = {e["row"] for e in first} | {e["kept_row"] for e in shown}
    texts: dict[int, str] = {}
    shard, local = locate(np.array(sorted(wanted), np.int64), rows.first)
    for i in np.unique(shard).tolist():
        here = local[shard == i]
        for table in rows.parts[i].tables(ctx, ["_row", "text"], only=here):
            have = table["_row"].to_numpy()
            for at in np.flatnonzero(np.isin(have, here)).tolist():
                texts[int(rows.first[i]) + int(have[at])] = table["text"][at].as_py()[:EXCERPT]
    for example in first:
        example["text"] = texts[example["row"]]
    for example in shown:
        example["kept_text"] = texts.get(example["kept_row"], "(in another store)")
    return largest
