"""Documents kept and removed by language and by source, for the report of a run.

What is read is two small columns and one state a shard, of the first documents where there are very many: a report of
a large run must not take longer than a person waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from siftloom.ask.scores import GROUPS

if TYPE_CHECKING:
    from pipeline.run import StoredRun

MOST_ROWS = 2_000_000  # that are read
SHOWN = 15  # languages or sources of one table; the others are one row
NAMES = {"lang": "language", "source": "source"}
ABOUT = "How many documents of each language and source are left at the end."


def groups(run: StoredRun) -> list[dict[str, Any]]:
    """Return a table by language and one by source, of those that the documents carry."""
    ends = [view for view in run.nodes if view.finished and view.manifest["row_phase"]]
    if not ends:
        return []
    end = max(ends, key=lambda view: max(map(len, run.manifests.chains(view.manifest).values()), default=0))
    found = {name: Counter[tuple[str | None, bool]]() for name in GROUPS}
    rows = 0
    whole = True
    for counts, size in _counts(run, end):
        if rows and rows + size > MOST_ROWS:
            whole = False
            break
        rows += size
        for name, some in counts.items():
            found[name].update(some)
    note = f"after {end.label}" + ("" if whole else f"; of the first {rows:,} documents")
    return [_table(NAMES[name], counts, note) for name, counts in found.items() if any(value for value, _ in counts)]


def _counts(run: StoredRun, end: Any) -> Iterator[tuple[dict[str, Counter[tuple[str | None, bool]]], int]]:
    """Yield for each shard: name of the column -> how many documents of (value, kept), and its number of rows."""
    import pyarrow as pa

    from pipeline.results.rows import ShardView

    stream = run.manifests.stream(end.manifest)
    for base in stream.shards:
        chain = stream.chain(base.shard)
        have = {*stream.base_columns[base.shard.base], *(name for link in chain for name in link.columns)}
        names = [name for name in GROUPS if name in have]
        counts = {name: Counter[tuple[str | None, bool]]() for name in GROUPS}
        for _, mask, table in ShardView(run.store, base, chain).batches(names):
            for name in GROUPS:
                values = table[name].cast(pa.string()) if name in names else pa.nulls(len(mask), pa.string())
                for kept, rows in ((True, mask), (False, ~mask)):
                    for entry in values.filter(pa.array(rows)).value_counts().to_pylist():
                        counts[name][entry["values"], kept] += entry["counts"]
        yield counts, base.shard.rows


def _table(what: str, counts: Counter[tuple[str | None, bool]], note: str) -> dict[str, Any]:
    values = Counter[str | None]()
    for (value, _), number in counts.items():
        values[value] += number
    most = sorted(values.items(), key=lambda pair: (-pair[1], pair[0] or ""))
    rows = [
        [value or f"(no {what})", number, counts[value, True], counts[value, False], counts[value, True] / number]
        for value, number in most[:SHOWN]
    ]
    if rest := most[SHOWN:]:
        number, kept = sum(n for _, n in rest), sum(counts[value, True] for value, _ in rest)
        rows.append([f"({len(rest)} more)", number, kept, number - kept, kept / number])
    return {
        "kind": "table",
        "section": "languages and sources",
        "about": ABOUT,
        "title": f"Kept and removed by {what}",
        "note": note,
        "columns": [what, "documents", "kept", "removed", "share kept"],
        "units": [None, None, None, None, "percent"],
        "rows": rows,
    }
