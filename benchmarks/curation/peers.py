"""Ours and datatrove's rule sets on the same documents in one process: CPU seconds, and verdicts side by side.

datatrove keeps its last splits of five texts; one filter is run over all texts before the next, so that each splits
each text, as a pipeline with a filter of another kind in between does. Times are user + system of this process, the
median of the rounds (3 for datatrove's, 5 for ours); each rule set has run once before, which loads what it needs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stages.clean.c4 import C4
from stages.clean.fineweb_quality import FinewebQuality
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.pii import Pii
from stages.read.read import Read

DOCS = Read(paths=("unread",))
ROUNDS = 5
BATCH = 1_000


@dataclass(frozen=True)
class Measured:
    """us: microseconds of CPU a document; kept: a verdict for each document."""

    us: float
    kept: list[bool]


def theirs(make: Callable[[], Any], texts: Sequence[str], rounds: int) -> Measured:
    """One of datatrove's filters."""
    from datatrove.data import Document

    oracle = make()
    ask = oracle.filter if hasattr(oracle, "filter") else lambda document: bool(oracle.format(document.text)) or True
    kept = [ask(Document(text=text, id="")) is True for text in texts]
    return Measured(
        _median(lambda: [ask(Document(text=text, id="")) for text in texts], rounds) / len(texts) * 1e6, kept
    )


def ours(node: Any, texts: Sequence[str], rounds: int = ROUNDS, after: Any = None, ctx: Any = None) -> Measured:
    """One of our nodes, as a bare function over Arrow batches; `after` ran on the same batch just before."""
    from stages.clean import cut

    batches = [pa.table({"text": pa.array(texts[i : i + BATCH])}) for i in range(0, len(texts), BATCH)]
    function = node.open(ctx)
    before = after.open(ctx) if after is not None else None
    kept = [reason is None for batch in batches for reason in _reasons(node, function(batch))]
    times = []
    for _ in range(rounds):
        spent = 0.0
        for batch in batches:
            cut._last.clear()
            if before is not None:
                before(batch)
            start = time.process_time()
            found = function(batch)
            node.decide(_scores(node, found))
            spent += time.process_time() - start
        times.append(spent)
    return Measured(statistics.median(times) / len(texts) * 1e6, kept)


def _scores(node: Any, found: Any) -> pa.Table:
    return pa.table({name: pa.array(found.added[name], pa.type_for_alias(kind)) for name, kind in node.adds().items()})


def _reasons(node: Any, found: Any) -> list[str | None]:
    removed = node.decide(_scores(node, found))
    return removed.reason.to_pylist() if removed is not None else [None] * len(_scores(node, found))


def _median(work: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def pairs() -> dict[str, tuple[Callable[[], Any], Any, Any]]:
    """Name -> (datatrove's, ours, ours with its words)."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.formatters import PIIFormatter

    return {
        "gopher_quality": (
            filters.GopherQualityFilter, GopherQuality(docs=DOCS), GopherQuality(docs=DOCS, words="datatrove"),
        ),
        "gopher_repetition": (
            filters.GopherRepetitionFilter, GopherRepetition(docs=DOCS), GopherRepetition(docs=DOCS, words="datatrove"),
        ),
        "fineweb_quality": (
            filters.FineWebQualityFilter, FinewebQuality(docs=DOCS), FinewebQuality(docs=DOCS, words="datatrove"),
        ),
        "c4": (filters.C4QualityFilter, C4(docs=DOCS), None),
        "pii": (PIIFormatter, Pii(docs=DOCS, kinds=("email", "ip")), None),
    }  # fmt: skip
