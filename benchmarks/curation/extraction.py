"""C-10: what `extract` costs beside the library that it calls, on pages of manuals.

The same pages are parsed and read by resiliparse in this process, then by the node: its bounds, the process apart with
its start, titles and counts of links are all in it. The pages: the longest one, then others by a hash of their paths.
"""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.curation.corpus import unpacked
from pipeline.contract import Node
from stages.extract.extract import Extract

PACKAGES = ("bash-doc", "git-doc", "postfix-doc", "debian-policy", "sqlite3-doc")
PAGES, ROUNDS = 60, 5


def manuals(cache: Path, packages: Sequence[str] = PACKAGES, many: int = PAGES) -> list[str]:
    """The HTML of so many English pages."""
    found = []
    for package in packages:
        tree = unpacked(cache, package)
        found += [(path.relative_to(tree).as_posix(), path) for path in tree.rglob("*.html") if not path.is_symlink()]
    english = [(name, path) for name, path in found if name.rsplit(".", 2)[-2] not in ("de", "ja", "fr", "zh-cn")]
    longest = max(english, key=lambda one: (one[1].name == "bashref.html", one[1].stat().st_size))
    others = sorted(english, key=lambda one: hashlib.sha256(one[0].encode()).digest())
    chosen = [longest, *[one for one in others if one != longest][: many - 1]]
    return [path.read_bytes().decode("utf-8", "replace") for _, path in chosen]


def measured(pages: list[str]) -> dict[str, Any]:
    """CPU seconds of both over `ROUNDS` rounds; pages that the node lost, and pages with another text than alone."""
    alone, texts = _library(pages)
    ours, errors, found = _node(pages)
    return {
        "alone": alone, "ours": ours, "errors": [error for error in errors if error not in (None, "extract.empty")],
        "others": sum((text or "") != (one if one.strip() else "") for text, one in zip(found, texts, strict=True)),
        "pages": len(pages), "bytes": sum(map(len, pages)), "largest": max(map(len, pages)),
    }  # fmt: skip


def _library(pages: list[str]) -> tuple[float, list[str]]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    texts, began = [], time.process_time()
    for _ in range(ROUNDS):
        texts = [extract_plain_text(HTMLTree.parse(page), main_content=True) for page in pages]
    return time.process_time() - began, texts


def _node(pages: list[str]) -> tuple[float, list[Any], list[Any]]:
    """The node's work as a worker does it: `open` once, a batch a round."""
    node = Extract(docs=Node())
    table = pa.table({"id": [str(number) for number in range(len(pages))], "text": pages})
    began, below = time.process_time(), _children()
    extract = node.open(None)  # type: ignore[arg-type]  # nothing of the store is asked for
    found = extract(table)
    for _ in range(ROUNDS - 1):
        found = extract(table)
    reasons = node.decide(pa.table(found.added)).reason.to_pylist()
    del extract  # ends the process, whose CPU time is known then
    assert found.text is not None
    return time.process_time() - began + _children() - below, reasons, found.text.to_pylist()


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
