"""Folders of source files, and what may happen to a file between two runs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

KINDS = ("jsonl", "jsonl", "jsonl.gz", "csv", "txt", "txt", "parquet", "bytes.parquet", "json")
MOST_FILES = 7  # in a folder: a step costs as much as there is to read
TEXTS, GZIP = (".jsonl", ".txt", ".csv", ".json"), b"\x1f\x8b"
WORDS = [
    "the", "of", "and", "to", "that", "with", "have", "be", "river", "mill", "stone", "water", "old", "grey", "wind",
    "field", "house", "garden", "road", "winter", "summer", "bread", "letter", "paper", "window", "table", "green",
]  # fmt: skip
MENU = ("Home About Contact", "All rights reserved by us", "Read more about the mill")


class Files:
    """A folder, whose files are drawn from a generator."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.known: list[str] = []  # texts that were written before, for copies
        folder.mkdir(parents=True, exist_ok=True)

    def all(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def one(self) -> Path:
        return self.rng.choice(self.all())

    # contents --------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        rng = self.rng
        if self.known and rng.random() < 0.3:
            text = rng.choice(self.known)
            if rng.random() < 0.5:  # a near-duplicate
                words = text.split(" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                text = " ".join(words)
            return text
        lines = [
            " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 14))).capitalize() + "."
            for _ in range(rng.randint(1, 7))
        ]
        if rng.random() < 0.4:
            lines.insert(0, rng.choice(MENU))
        text = "\n".join(lines)
        self.known.append(text)
        return text

    def rows(self) -> list[dict]:
        found = []
        for _ in range(self.rng.randint(1, 9)):
            row: dict[str, Any] = {"id": f"u{self.rng.randrange(10**6)}", "text": self.text()}
            row |= {"stars": self.rng.randrange(5), "title": " ".join(self.rng.choices(WORDS, k=3))}
            found.append(row | {"text": ""} if self.rng.random() < 0.05 else row)
        return found

    def content(self, kind: str) -> bytes:
        return self.encoded(kind, self.rows())

    @staticmethod
    def encoded(kind: str, rows: list[dict]) -> bytes:
        if kind in ("jsonl", "jsonl.gz"):
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            return gzip.compress(data, mtime=0) if kind.endswith("gz") else data
        if kind == "json":
            return json.dumps(rows).encode()
        if kind == "csv":
            out = io.StringIO()
            writer = csv.DictWriter(out, ("id", "text", "stars", "title"))
            writer.writeheader()
            writer.writerows(rows)
            return out.getvalue().encode()
        if kind == "txt":
            return rows[0]["text"].encode() or b"The text of an empty file."
        texts = [row["text"] for row in rows]
        column = pa.array([t.encode() for t in texts], pa.binary()) if kind.startswith("bytes") else pa.array(texts)
        sink = pa.BufferOutputStream()
        others = {name: [str(row[name]) for row in rows] for name in ("id", "stars", "title")}
        pq.write_table(pa.table({"text": column, **others}), sink, row_group_size=3)
        return sink.getvalue().to_pybytes()

    def name(self, where: str, kind: str) -> str:
        names = [path.name for path in self.all()]
        letters = "".join(self.rng.choices(string.ascii_lowercase, k=3))
        if where == "front" and names:
            stem = f"{names[0].partition('.')[0]}"[:-1] or "a"
        elif where == "end" and names:
            stem = f"{names[-1].partition('.')[0]}z"
        else:
            stem = letters
        while any(n.partition(".")[0] == stem for n in names):
            stem += self.rng.choice(string.ascii_lowercase)
        return f"{stem}.{kind}"

    # changes ---------------------------------------------------------------------------------------------------------

    def add(self) -> str:
        where = self.rng.choice(("front", "middle", "end"))
        kind = self.rng.choice(KINDS)
        name = self.name(where, kind)
        (self.folder / name).write_bytes(self.content(kind))
        return f"add {name} ({where})"

    def copy(self) -> str:
        path = self.one()
        name = self.name("middle", path.name.partition(".")[2])
        shutil.copyfile(path, self.folder / name)
        return f"copy {path.name} to {name}"

    def remove(self) -> str:
        if len(self.all()) < 3:
            return self.add()
        path = self.rng.choice((self.all()[0], self.one(), self.all()[-1]))
        path.unlink()
        return f"remove {path.name}"

    def rename(self) -> str:
        path = self.one()
        name = self.name(self.rng.choice(("front", "middle", "end")), path.name.partition(".")[2])
        path.rename(self.folder / name)
        return f"rename {path.name} to {name}"

    def rename_packed(self) -> str:
        """A packed file whose name no longer says so, or again: its first bytes do."""
        packed = [path for path in self.all() if path.read_bytes()[:2] == GZIP]
        if not packed:
            return self.rename()
        path = self.rng.choice(packed)
        stem = path.name.removesuffix(".gz")
        other = path.with_name(stem if path.name.endswith(".gz") else f"{stem}.gz")
        path.rename(other)
        return f"rename {path.name} to {other.name}"

    def edit(self) -> str:
        path = self.one()
        path.write_bytes(self.content(path.name.partition(".")[2]))
        return f"edit {path.name}"

    def edit_alike(self) -> str:
        """Another text of the same length, with the old modification time, in the same inode."""
        plain = [p for p in self.all() if p.suffix in TEXTS and p.read_bytes()[:2] != GZIP]
        if not plain:
            return self.edit()
        path = self.rng.choice(plain)
        before, data = path.stat(), path.read_bytes()
        for old, new in ((b"river", b"metal"), (b"metal", b"river"), (b"the", b"our"), (b"our", b"the")):
            if old in data:
                data = data.replace(old, new, 1)
                break
        else:
            return self.edit()
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"edit {path.name} with its size and time kept"

    def swap(self) -> str:
        """Two files of one format exchange their names."""
        by_kind: dict[str, list[Path]] = {}
        for path in self.all():
            by_kind.setdefault(path.name.partition(".")[2], []).append(path)
        pairs = [paths for paths in by_kind.values() if len(paths) > 1]
        if not pairs:
            return self.rename()
        one, other = self.rng.sample(self.rng.choice(pairs), 2)
        aside = self.folder.parent / "aside"
        one.rename(aside)
        other.rename(one)
        aside.rename(other)
        return f"swap {one.name} and {other.name}"

    def touch(self) -> str:
        path = self.one()
        os.utime(path)
        return f"touch {path.name}"

    CHANGES = (add, add, copy, remove, rename, rename_packed, edit, edit_alike, edit_alike, swap, touch)

    def change(self) -> str:
        if len(self.all()) > MOST_FILES:
            return f"{self.folder.name}: {self.remove()}"
        return f"{self.folder.name}: {self.rng.choice(self.CHANGES)(self)}"
