"""The public corpus: pages of Debian `-doc` packages in pieces, with planted copies of known Jaccard similarity.

Packages are fetched with `apt-get download` (nothing is installed) and unpacked into a cache folder; HTML is reduced to
text, pages are split at lines into documents of about two kilobytes. The pages are templated by nature (API
references), so chains of half-similar documents are realistic. What follows the download is a function of the packages
and the seed.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PACKAGES = (
    "python3.13-doc linux-doc-6.12 postgresql-doc-17 qt6-base-doc-html python-django-doc erlang-doc rust-doc php-doc "
    "python-scipy-doc python-numpy-doc libboost1.83-doc libgtk-4-doc openjdk-21-doc debian-handbook "
    "libreoffice-help-en-us cmake-doc r-doc-html python-pandas-doc llvm-19-doc vim-doc nodejs-doc"
).split()
SIZES = {"c10": (10_000, 1_000), "c30": (30_000, 3_000), "c50": (50_000, 4_000), "c100": (100_000, 8_000)}
PIECE = (600, 3_000)  # characters: the smallest document, and where a page is split
NGRAM = 5
ROW_GROUP = 4_000

HIDDEN = re.compile(r"<(script|style|head|nav)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
BLOCK = re.compile(r"</?(p|div|h\d|li|tr|table|pre|br|section|dd|dt|ul|ol|td|th)\b[^>]*>", re.IGNORECASE)
TAG = re.compile(r"<[^>]*>")
BLANK = re.compile(r"[ \t]*\n[ \t\n]*")
WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Corpus:
    """`text.parquet` (id, text) and the planted pairs: rows and Jaccard similarity of word 5-grams."""

    folder: Path
    left: np.ndarray
    right: np.ndarray
    jaccard: np.ndarray

    @property
    def path(self) -> Path:
        return self.folder / "text.parquet"

    @property
    def documents(self) -> int:
        return pq.read_metadata(self.path).num_rows


def build(cache: Path, name: str, seed: int = 1, packages: Sequence[str] = PACKAGES) -> Corpus:
    """Return the corpus of that name and seed, which is made once. Other packages need a cache of their own."""
    folder = cache / f"{name}-{seed}"
    if not (folder / "planted.npz").exists():
        documents, copies = SIZES[name]
        texts = _draw(cache, documents - copies, seed, packages)
        texts, left, right = plant(texts, copies, seed)
        folder.mkdir(parents=True, exist_ok=True)
        similarity = np.array([jaccard(texts[a], texts[b]) for a, b in zip(left, right, strict=True)])
        table = pa.table({"id": pa.array(range(len(texts))), "text": pa.array(texts, pa.string())})
        pq.write_table(
            table, folder / "text.parquet", compression="zstd", compression_level=3, row_group_size=ROW_GROUP
        )
        np.savez(folder / "planted.npz", left=left, right=right, jaccard=similarity)
    with np.load(folder / "planted.npz") as planted:
        return Corpus(folder, planted["left"], planted["right"], planted["jaccard"])


def plant(texts: list[str], copies: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return (texts with edited copies among them, rows of the originals, rows of the copies)."""
    chance = random.Random(seed)
    originals = chance.sample(range(len(texts)), copies)
    strangers = chance.sample(range(len(texts)), copies)
    edited = [edit(texts[a], texts[b], chance) for a, b in zip(originals, strangers, strict=True)]
    order = list(range(len(texts) + copies))
    chance.shuffle(order)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    both = [*texts, *edited]
    return [both[i] for i in order], place[np.array(originals)], place[len(texts) + np.arange(copies)]


def edit(text: str, stranger: str, chance: random.Random) -> str:
    """Return a copy with one kind of change, of a strength drawn from none to about half of the document."""
    words, other = text.split(" "), stranger.split(" ")
    strength = chance.random() ** 1.5
    kind = chance.choice(["words", "block", "cut", "insert", "case"])
    if kind == "case":
        return text.upper() if strength < 0.3 else f"{text}\n{' '.join(other[: int(len(words) * strength)])}"
    if kind == "words":
        for _ in range(int(len(words) * strength * 0.15)):
            words[chance.randrange(len(words))] = chance.choice(other)
        return " ".join(words)
    size = int(len(words) * strength * 0.6)
    at = chance.randrange(max(len(words) - size, 1))
    if kind == "cut":
        return " ".join(words[:at] + words[at + size :])
    if kind == "block":
        return " ".join(words[:at] + other[:size] + words[at + size :])
    return " ".join(words[:at] + other[:size] + words[at:])


def jaccard(one: str, other: str) -> float:
    """Return the exact similarity of the sets of word 5-grams."""
    a, b = shingle_set(one), shingle_set(other)
    return len(a & b) / max(len(a | b), 1)


def shingle_set(text: str) -> set[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return {tuple(words[i : i + NGRAM]) for i in range(max(len(words) - NGRAM + 1, min(len(words), 1)))}


def _draw(cache: Path, count: int, seed: int, packages: Sequence[str]) -> list[str]:
    """Return `count` pieces out of all, by a keyed hash of where they stand."""
    pool = _pool(cache, packages)
    names = pool["name"].to_pylist()
    keyed = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    chosen = sorted(range(len(keyed)), key=keyed.__getitem__)[:count]
    if len(chosen) < count:
        raise SystemExit(
            f"the packages gave {len(chosen)} documents, {count} are needed; fetch more of: {', '.join(packages)}"
        )
    return pool["text"].take(pa.array(chosen)).to_pylist()


def _pool(cache: Path, packages: Sequence[str]) -> pa.Table:
    """Return every piece of every page, which is made once."""
    path = cache / "pool.parquet"
    if not path.exists():
        names, texts = [], []
        for package in packages:
            for name, piece in _pieces(_unpacked(cache, package), package):
                names.append(name)
                texts.append(piece)
        cache.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"name": names, "text": texts}), path, compression="zstd")
    return pq.read_table(path)


def _unpacked(cache: Path, package: str) -> Path:
    folder = cache / "packages" / package
    if not folder.exists():
        download = cache / "download"
        download.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], cwd=download, check=True, capture_output=True)
        (deb,) = download.glob(f"{package}_*.deb")
        half = folder.with_name(f"{package}.half")
        half.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(half)], check=True)
        half.rename(folder)
        deb.unlink()
    return folder


def _pieces(folder: Path, package: str) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        kind = path.name.removesuffix(".gz").rpartition(".")[2]
        if path.is_symlink() or not path.is_file() or kind not in ("html", "htm", "txt", "rst"):
            continue
        data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        page = data.decode("utf-8", "replace")
        page = plain(page) if kind.startswith("htm") else BLANK.sub("\n", page)
        for i, piece in enumerate(pieces(page)):
            yield f"{package}/{path.relative_to(folder)}:{i}", piece


def plain(page: str) -> str:
    """Return the text of an HTML page, a line per block."""
    page = HIDDEN.sub(" ", page)
    page = TAG.sub("", BLOCK.sub("\n", page))
    return BLANK.sub("\n", html.unescape(page)).strip()


def pieces(page: str) -> Iterator[str]:
    """Yield pieces of whole lines."""
    piece: list[str] = []
    size = 0
    for line in page.split("\n"):
        piece.append(line)
        size += len(line) + 1
        if size >= PIECE[1]:
            yield "\n".join(piece)
            piece, size = [], 0
    if size >= PIECE[0]:
        yield "\n".join(piece)
