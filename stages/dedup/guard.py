"""The guard of a dedup: it stops one that would remove more than its `max_removed_fraction`."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import DataError
from stages.dedup.keys import OTHER
from stages.dedup.method import Method, limits_of

MIN_DOCUMENTS = 100  # documents of a source that is held against the limit by itself


class TooMuchRemoved(DataError):
    """A dedup would remove more of a source than its `max_removed_fraction`."""


def require_few_removed(
    node: Method, documents: Mapping[str, int], removed: Mapping[str, int], examples: Mapping[str, list]
) -> None:
    """Hold the removed share of every source, and of all documents, against `max_removed_fraction`.

    All three mappings go by the name of the source. Raises TooMuchRemoved.
    """
    limits = limits_of(node.max_removed_fraction)
    shares = [(name, documents[name], removed.get(name, 0)) for name in documents if name != OTHER]
    total = ("", sum(documents.values()), sum(removed.values()))
    for name, count, gone in [total, *sorted(shares)]:
        allowed = limits.get(name or "*", limits.get("*", 1.0))
        if count < MIN_DOCUMENTS or gone <= allowed * count:
            continue
        some = examples.get(name) or next(iter(examples.values()))
        raise TooMuchRemoved(
            f"{node.kind()}, {f'source {name!r}' if name else 'all documents'}",
            f"{gone} of {count} documents ({gone / count:.1%}) would be removed, for instance "
            + ", ".join(f"{e['id']} for {e['kept']} (estimate {e['estimate']})" for e in some),
            f"at most {allowed:.1%} (max_removed_fraction)",
            "run with dry_run: true to see the clusters in the report, or raise max_removed_fraction",
        )
