"""What a driver knows of a graph once its sources are digested."""

from __future__ import annotations

from pathlib import Path

from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import digest_sources
from pipeline.files.objects import LocalStore
from pipeline.graph import Graph


def digested(graph: Graph, root: Path) -> Ledger:
    ledger = Ledger(graph, LocalStore(str(root)))
    digest_sources(ledger, lambda: None)
    return ledger
