"""Runs of the engine in a process of their own: a corpus that grows by a twentieth (C-8), and one of ten times the
object store's size (C-9). `python -m benchmarks.curation.runs grow FOLDER CACHE tuned|unseen ray|here COPIES` and
`... large FOLDER CACHE` print a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.curation.corpus import build
from benchmarks.engine.tree_cpu import TreeCpu

PARTS = 21  # files; the last one comes later
OBJECT_STORE = 80 * 2**20  # bytes; Ray takes no fewer than 75 MiB
TIMES = 10
SAMPLE = 20_000_000  # bytes that the vocabulary is trained on: byte pairs of the whole take hours


def measured(module: str, *words: Any) -> dict[str, Any]:
    """What a module of this benchmark found in another process."""
    command = [sys.executable, "-m", f"benchmarks.curation.{module}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def grow(folder: Path, cache: Path, corpus: str, where: str, copies: str) -> dict[str, Any]:
    """CPU seconds of a run over 20 files, of one over 21, of one over 21 from nothing; whether the last two are equal.

    On Ray, which has started before, or `here`, in this process. The corpus has every page so many times, with other
    words each time. The quality model is trained on other pages: one that is trained on the corpus would be another
    one when that grows.
    """
    from pipeline.ray_runtime import session

    pages = build(cache, corpus)
    files = folder / "in"
    files.mkdir(parents=True)
    parts: list[list[str]] = [[] for _ in range(PARTS)]
    for number, (id_, text) in enumerate(zip(pages["id"].to_pylist(), pages["text"].to_pylist(), strict=True)):
        for copy in range(int(copies)):
            line = json.dumps({"id": f"{copy}:{id_}", "text": _other_words(text, copy)}) + "\n"
            parts[(number + copy) % PARTS].append(line)
    later = parts.pop()
    for number, lines in enumerate(parts):
        (files / f"{number:02}.jsonl").write_text("".join(lines))
    here = where == "here"
    if not here:
        session.start(cpus=2, address=None)
    found: dict[str, Any] = {"first": _cpu(files, folder / "store", here), "pages": int(copies) * len(pages)}
    (files / f"{PARTS:02}.jsonl").write_text("".join(later))
    found["more"] = _cpu(files, folder / "store", here)
    found["fresh"] = _cpu(files, folder / "fresh", here)
    if not here:
        session.stop()
    found["equal"] = _data(folder / "fresh").items() <= _data(folder / "store").items()
    return found


def _other_words(text: str, copy: int) -> str:
    """The text, of copies beside the first every word with a letter of its own: no near-duplicate."""
    return (
        text if not copy else "\n".join(" ".join(w + "abc"[copy - 1] for w in s.split(" ")) for s in text.split("\n"))
    )


def _cpu(files: Path, store: Path, here: bool) -> float:
    from siftloom import Pipeline
    from siftloom import stages as s

    raw = s.Read(paths=(f"{files}/*.jsonl",))
    model = s.TrainQuality(good=s.Read(paths=("demo://good",)), bad=s.Read(paths=("demo://corpus",)))
    plain = s.GopherQuality(docs=s.Language(docs=raw, keep=()))
    unique = s.MinHashDedup(docs=s.GopherRepetition(docs=plain))
    best = s.Select(docs=s.Quality(docs=unique, model=model), where="quality > 0.1")
    cpu = TreeCpu()
    pipeline = Pipeline([best], name="grow", store=str(store), names={"best": best})
    pipeline.run(cpus=None if here else 2, here=here, progress=False)
    return cpu.stop()


def _data(store: Path) -> dict[str, str]:
    found = sorted(path for path in (store / "nodes").glob("*/data/**/*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def large(folder: Path, cache: Path) -> dict[str, Any]:
    """Bytes of text, and rows and tokens that came out of `tokenizer` and `pack`; the largest process's memory."""
    from pipeline.ray_runtime import session
    from siftloom import Pipeline
    from siftloom import stages as s

    texts = build(cache)["text"].to_pylist()
    files, written = folder / "in", 0
    files.mkdir(parents=True)
    number = 0
    while written < TIMES * OBJECT_STORE:
        with open(files / f"{number:03}.jsonl", "w", encoding="utf-8") as file:
            for text in texts:
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                written += len(text.encode())
        number += 1
    session.OBJECT_STORE_BYTES = OBJECT_STORE
    session.start(cpus=2, address=None)
    raw = s.Read(paths=(f"{files}/*.jsonl",))
    rows = s.Pack(docs=raw, tokenizer=s.Tokenizer(docs=raw, vocab_size=8192, sample_bytes=SAMPLE), length=512)
    cpu = TreeCpu()
    run = Pipeline([rows], name="large", store=str(folder / "store"), names={"rows": rows}).run(cpus=2, progress=False)
    spent, counts = cpu.stop(), run["rows"].counts["pack"]
    session.stop()
    return {"text": written, "store": OBJECT_STORE, "cpu": spent, "memory": cpu.memory,
            "packed": counts["packed"], "documents": counts["documents"], "tokens": counts["tokens"]}  # fmt: skip


if __name__ == "__main__":
    work: Any = {"grow": grow, "large": large}[sys.argv[1]]
    print(json.dumps(work(Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])))
