"""Text files for the tests of the engine, and one graph over them that holds every shape of node."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from nodes import Common, Lines, Long, Strip, Tally, Twins, Vowels

from pipeline.graph import Graph, build

WORDS = "tide moon harbour salt rope lantern gull anchor 1789 mist kelp oar x 7 aeaeae rhythm".split()


def write_corpus(folder: Path, files: int = 4, lines: int = 120, seed: int = 0) -> tuple[str, ...]:
    """`files` text files of `lines` lines; some lines are short, numeric, vowelless or copies of earlier ones."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    seen: list[str] = []
    for number in range(files):
        mine = []
        for _ in range(lines):
            copy = seen and draw.random() < 0.15
            mine.append(draw.choice(seen) if copy else " ".join(draw.choices(WORDS, k=draw.randint(1, 6))))
            seen.append(mine[-1])
        (folder / f"part-{number:02d}.txt").write_text("\n".join(mine) + "\n")
    return (str(folder),)


def whole(paths: tuple[str, ...], **changed: dict[str, Any]) -> Graph:
    """Lines, two thresholds, a text change, an exchange, a trainer and its model applied; `changed` per label."""

    def fields(label: str) -> dict[str, Any]:
        return changed.get(label, {})

    docs = Lines(paths=paths, **fields("docs"))
    long = Long(docs=docs, **fields("long"))
    strip = Strip(docs=long, **fields("strip"))
    vowels = Vowels(docs=strip, **fields("vowels"))
    twins = Twins(docs=vowels, **fields("twins"))
    tally = Tally(docs=twins, **fields("tally"))
    common = Common(docs=twins, tally=tally, **fields("common"))
    count = Tally(docs=common, **{"place": "task", **fields("count")})
    names = {"docs": docs, "long": long, "strip": strip, "vowels": vowels, "twins": twins, "tally": tally,
             "common": common, "count": count}  # fmt: skip
    return build([count], names)


def bytes_of(store: Path | str, *, receipts: bool = True) -> dict[str, str]:
    """Name -> SHA-256 of every file that must be the same for any worker count, order and kill."""
    found = {}
    for path in sorted(Path(store).rglob("nodes/*/**/*")):
        name = path.relative_to(store).as_posix()
        part = name.split("/")[2]
        if path.is_file() and (part in ("data", "manifest.json", "figures.json") or (receipts and part == "receipts")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found, f"no node has left a file in {store}: nothing to compare"
    return found


def times_of(store: Path | str) -> dict[str, int]:
    """Name -> modification time of every receipt and data file."""
    wanted = [*Path(store).rglob("nodes/*/receipts/**/*.json"), *Path(store).rglob("nodes/*/data/**/*")]
    return {p.relative_to(store).as_posix(): p.stat().st_mtime_ns for p in wanted if p.is_file()}
