"""Four kinds of junk that the corpus of training does not have: lists of files, scripts, drawings, indices of books."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.curation.corpus import PACKAGES, extracted, pieces, unpacked
from stages.chance import draws

KINDS = ("file lists", "scripts", "drawings", "indices")
EACH = 150
LEAST = 300  # characters of a piece


def build(cache: Path) -> pa.Table:
    """id, text, source, lang, good, as the corpus has them; lang is `en`, so that no page is left out."""
    rows = [row for kind in KINDS for row in _some(kind, cache)]
    return pa.Table.from_pylist(rows)


def _some(kind: str, cache: Path) -> list[dict]:
    found = {}
    for place, text in _texts(kind, cache):
        for number, piece in enumerate(pieces(text)[:8]):
            if len(piece) >= LEAST:
                found[f"{kind}/{place}#{number}"] = piece
    names = sorted(found)
    chosen = [name for _, name in sorted(zip(draws(names, 0, "unseen").tolist(), names, strict=True))[:EACH]]
    return [{"id": name, "text": found[name], "source": kind, "lang": "en", "good": False} for name in chosen]


def _texts(kind: str, cache: Path) -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        tree = unpacked(cache, package)
        files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
        if kind == "file lists":
            yield package, "".join(f"/{path.relative_to(tree)}\n" for path in files)
            continue
        for path in files:
            place = f"{package}/{path.relative_to(tree)}"
            if (kind == "scripts" and path.suffix in (".js", ".css")) or (kind == "drawings" and path.suffix == ".svg"):
                yield place, path.read_text("utf-8", "replace")
            elif kind == "indices" and path.name in ("bookindex.html", "genindex.html", "keyword_index.html"):
                yield place, extracted(path.read_text("utf-8", "replace"))
