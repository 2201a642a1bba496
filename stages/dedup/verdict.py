"""The last word before rows go: sums over all clusters, and the guard that stops a dedup which removes too much."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from pipeline.errors import DataError
from stages.dedup.corpus import KEYS, Corpus, corpus
from stages.dedup.key_writer import OTHER
from stages.dedup.rows import locate

if TYPE_CHECKING:
    from stages.dedup.node import DedupNode

LEAST = 100  # documents of a source that is judged by itself
EXCERPT = 2000  # characters of an example's text
DIFFS = 2  # examples with both texts


class TooMuchRemoved(DataError):
    """A dedup would remove more of a source than its `max_removed_fraction`."""


def verdict(ctx: Context) -> Result:
    """Sums of all groups, the ten largest clusters with texts (`.json`); TooMuchRemoved before anything is removed."""
    node: DedupNode = ctx.node  # type: ignore[assignment]
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
        guard(node, documents, removed, examples)
    with ctx.create(".json") as path:
        path.write_text(json.dumps(with_texts(ctx, rows, largest)))
    pairs = np.sum([g.facts["pairs"] for g in groups], axis=0)
    counts = {"documents": documents.total(), "keyed": keyed}
    for name in ("members", "removed_near", "removed_copies"):
        counts[name] = sum(g.counts[name] for g in groups)
    shares = [[name, documents[name], removed[name]] for name, _ in documents.most_common(100) if documents[name]]
    return Result(counts, {"sizes": sizes.tolist(), "pairs": pairs.tolist(), "sources": shares})


def guard(node: DedupNode, documents: Counter, removed: Counter, examples: dict[str, list]) -> None:
    """Hold the removed share of every source, and of all documents, against `max_removed_fraction`."""
    limit = node.max_removed_fraction
    limits = dict(limit) if not isinstance(limit, int | float) else {"*": limit}
    shares = [(name, documents[name], removed[name]) for name in documents if name != OTHER]
    for name, count, gone in [("", documents.total(), removed.total()), *sorted(shares)]:
        allowed = limits.get(name or "*", limits.get("*", 1.0))
        if count < LEAST or gone <= allowed * count:
            continue
        some = examples.get(name) or next(iter(examples.values()))
        raise TooMuchRemoved(
            f"{node.kind()}, {f'source {name!r}' if name else 'all documents'}",
            f"{gone} of {count} documents ({gone / count:.1%}) would be removed, for instance "
            + ", ".join(f"{e['id']} for {e['kept']} (estimate {e['estimate']})" for e in some),
            f"at most {allowed:.1%} (max_removed_fraction)",
            "run with dry_run: true to see the clusters in the report, or raise max_removed_fraction",
        )


def with_texts(ctx: Context, rows: Corpus, largest: list[dict]) -> list[dict[str, Any]]:
    """The clusters with the beginning of the text of their first removed document; for the first few that were removed
    for a resemblance, of the kept one's too.
    """
    first = [c["examples"][0] for c in largest if c["examples"]]
    shown = [e for e in first if e["estimate"] < 1][:DIFFS]
    wanted = {e["row"] for e in first} | {e["kept_row"] for e in shown}
    texts: dict[int, str] = {}
    shard, local = locate(np.array(sorted(wanted), np.int64), rows.first)
    for i in np.unique(shard).tolist():
        mine = local[shard == i]
        for table in rows.parts[i].tables(ctx, ["_row", "text"], only=mine):
            have = table["_row"].to_numpy()
            for at in np.flatnonzero(np.isin(have, mine)).tolist():
                texts[int(rows.first[i]) + int(have[at])] = table["text"][at].as_py()[:EXCERPT]
    for example in first:
        example["text"] = texts[example["row"]]
    for example in shown:
        example["kept_text"] = texts.get(example["kept_row"], "(in another store)")
    return largest
