"""What a small language model makes of the pages that different ways of choosing have chosen (C-6).

The pool is one that needs a choice: a quarter of it is prose (essays, novels, manuals), the rest are class lists, word
lists, tables and changelogs. Classifiers are trained on other pages; the language model reads essays and novels that
neither they nor the pool hold. It is our own n-gram model over characters (modified Kneser-Ney): seconds of CPU, where
a transformer takes minutes, and the order of the arms is what is asked. `siftloom ablate` trains the transformer.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.curation.corpus import PACKAGES, pages_of, pieces
from benchmarks.curation.peers import DOCS, _reasons
from benchmarks.curation.quality import ESSAYS, Pages
from stages.chance import draws, share_limit
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.intervals import interval
from stages.quality.ngram import estimate
from stages.quality.perplexity import sentences

NOVELS = "austen"
MOST = {ESSAYS: 1600, NOVELS: 800}  # pieces of a source
MOST_GOOD, MOST_JUNK = 400, 3000  # pieces of another source
LEAST = 300  # characters of a piece
PROSE = 0.24  # share of good pieces in the pool
READ = 80  # pieces of essays, and of novels, that the language model reads
BYTES = 600_000  # of text that an arm is trained on
ORDER = 6


def english(cache: Path) -> pa.Table:
    """id, page, text, source, good: pages of English packages in pieces, and novels; made once."""
    path = cache / "prose.parquet"
    if not path.exists():
        groups: dict[str, list[dict]] = {}
        for row in (*_novels(), *_of_packages(cache)):
            groups.setdefault(row["source"], []).append(row)
        rows = []
        for source, group in groups.items():
            most = MOST.get(source, MOST_GOOD if group[0]["good"] else MOST_JUNK)
            order = np.argsort(draws([row["id"] for row in group], 0, "pieces"))
            rows += [group[i] for i in order[:most]]
        pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda row: row["id"])), path, compression="zstd")
    return pq.read_table(path)


def _of_packages(cache: Path) -> Iterator[dict]:
    for package in PACKAGES:
        if package.startswith("libreoffice-help-") and package != "libreoffice-help-en-us":
            continue
        for row in pages_of(cache, package):
            if row["lang"] == "en":
                page = row["id"].partition("#")[0]
                for number, text in enumerate(pieces(row["text"])):
                    if len(text) >= LEAST:
                        yield row | {"id": f"{row['id']}.{number}", "page": page, "text": text}


def _novels() -> Iterator[dict]:
    """Passages of novels in the embedded corpus, those that it has not spoilt."""
    folder = files("recipes") / "corpus"
    lines = gzip.decompress((folder / "truth.jsonl.gz").read_bytes()).splitlines()
    clean = {row["id"] for row in map(json.loads, lines) if row["kind"] == "clean"}
    for number in range(4):
        for line in gzip.decompress((folder / f"corpus-{number:02}.jsonl.gz").read_bytes()).splitlines():
            row = json.loads(line)
            if row["source"] == NOVELS and row["id"] in clean:
                yield {"id": row["id"], "page": row["id"], "text": row["text"], "source": NOVELS, "lang": "en",
                       "good": True}  # fmt: skip


@dataclass
class Pool:
    """pages: all; chosen_from: rows that the arms choose from; read: rows that the language model reads."""

    pages: Pages
    chosen_from: np.ndarray
    read: np.ndarray

    @classmethod
    def of(cls, table: pa.Table) -> Pool:
        """Whole pages go to the classifiers, to the pool, or are read; then pieces are drawn."""
        ids, good = table["id"].to_pylist(), np.array(table["good"].to_pylist())
        source = np.array(table["source"].to_pylist())
        drawn, at = draws(ids, 0, "pool"), draws(table["page"].to_pylist(), 0, "pool page")
        tested = at < share_limit(0.6)
        pages = Pages(table["text"].to_pylist(), good, source, tested, np.zeros(len(ids), bool), drawn)
        prose = np.isin(source, (ESSAYS, NOVELS))
        held = prose & (at < share_limit(0.2))
        read = [np.flatnonzero(held & (source == name)) for name in (ESSAYS, NOVELS)]
        read = np.concatenate([rows[np.argsort(drawn[rows])][:READ] for rows in read])
        sides = [np.flatnonzero(tested & ~held & (good == side)) for side in (True, False)]
        sides = [rows[np.argsort(drawn[rows])] for rows in sides]
        most = min(len(sides[0]), int(len(sides[1]) * PROSE / (1 - PROSE)))
        junk = int(most * (1 - PROSE) / PROSE)
        return cls(pages, np.concatenate([sides[0][:most], sides[1][:junk]]), read)

    @property
    def shape(self) -> str:
        good = self.pages.good[self.chosen_from].mean()
        return f"{len(self.chosen_from):,} pieces to choose from, {good:.0%} of them prose; {len(self.read)} are read"


def arms(pool: Pool, score: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Arm -> its pieces, of `BYTES` together, out of four fifths of the pool, the same for all arms."""
    pages = pool.pages
    rows = pool.chosen_from[np.argsort(draws([str(i) for i in pool.chosen_from], seed, "arms"))]
    rows = rows[: len(rows) * 4 // 5]
    clean = rows[_passing(pages, rows)]
    orders = {
        "random": rows,
        "word": rows[np.argsort(-score["word"][rows], kind="stable")],
        "char": rows[np.argsort(-score["char"][rows], kind="stable")],
        "cascade": clean[np.argsort(-score["char"][clean], kind="stable")],
        "all prose": rows[pages.good[rows]],
    }
    found = {}
    for name, order in orders.items():
        size = np.cumsum([len(pages.text[i].encode()) for i in order])
        found[name] = order[: int(np.searchsorted(size, BYTES)) + 1]
    return found


def _passing(pages: Pages, rows: np.ndarray) -> list[bool]:
    table = pages.table(rows)
    verdicts = [
        _reasons(node, node.open(None)(table))  # pyright: ignore[reportArgumentType]
        for node in (GopherQuality(docs=DOCS), GopherRepetition(docs=DOCS))
    ]
    return [one is None and other is None for one, other in zip(*verdicts, strict=True)]


def bits(pages: Pages, rows: Sequence[int], read: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(bits, bytes) of each piece that is read under a model of some pieces, line by line."""
    model = estimate([s for i in rows for s in sentences(pages.text[i], "char", 3000)], ORDER, 1)
    spent, size = [], []
    for i in read:
        lines = sentences(pages.text[i], "char", 3000)
        tokens = sum(len(line) + 1 for line in lines)
        spent.append(math.log2(model.perplexity(lines) or 1.0) * tokens)
        size.append(sum(len("".join(line).encode()) + 1 for line in lines))
    return np.array(spent), np.array(size, np.float64)


def differences(
    pool: Pool, score: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float, float]]]:
    """(arm -> its share of prose and its bits per byte; pair of arms -> what the second saves, its 95 % interval)."""
    read, chosen = pool.read.tolist(), arms(pool, score, seed)
    found = {name: bits(pool.pages, rows.tolist(), read) for name, rows in chosen.items()}
    size = found["random"][1]
    shown = {name: (float(pool.pages.good[chosen[name]].mean()), float(found[name][0].sum() / size.sum()))
             for name in chosen}  # fmt: skip
    pairs = {}
    for one, other in (("random", "cascade"), ("word", "cascade"), ("char", "cascade"), ("random", "word")):
        less = found[one][0] - found[other][0]
        pairs[f"{one} - {other}"] = (float(less.sum() / size.sum()), *interval(less, size, 2000, 0.95, seed))
    return shown, pairs
