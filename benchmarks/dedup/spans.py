"""`python -m benchmarks.dedup.spans [--documents N] [--seed N] [--peer dedup_dataset] [--workers N ...] [--no-kills]`

`substring_dedup` on documents with planted copies of 50 to 500 words: recall, and whether anything else is removed; the
same bytes with 1, 2 and 4 workers and after SIGKILL in several phases; CPU seconds beside the suffix array of Lee et
al.

The peer is `dedup_dataset` of google-research/deduplicate-text-datasets, as its `cargo build --release` makes it. It
gets the words as numbers of four bytes and 200 bytes as the threshold, so both look for the same spans. Its three
steps find the spans and write their places; cutting them and writing texts is not in it.

What is repeated is also found here, by a dictionary of a BLAKE2 digest of every run of 50 words: the truth that both
are held against.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.dedup import measure

LENGTH, FILES = 50, 8
SHORTEST, LONGEST = 50, 500
WORD = re.compile(r"\w+", re.ASCII)  # a character of a script without spaces is a word of its own for `auto`
RUN = """
import sys
from siftloom import Pipeline, stages as s
store, texts, length, cpus = sys.argv[1:]
spans = s.SubstringDedup(docs=s.Read(paths=(f"{texts}/*.jsonl",)), length=int(length))
where = {"here": True} if cpus == "here" else {"cpus": int(cpus)}
Pipeline([s.Write(docs=spans)], name="spans", store=store).run(progress=False, **where)
"""
DEMO = Path(__file__).parents[2] / "recipes" / "corpus"
PHASES = ("keys", "windows", "rows")  # in which a run is killed; `make faults` kills one in every phase


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", type=Path, help="the program dedup_dataset")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--kills", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    folder = Path(tempfile.mkdtemp())
    try:
        compare(arguments, folder)
    finally:
        shutil.rmtree(folder)


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    documents, plants = corpus(arguments.documents, arguments.seed)
    total = sum(map(len, documents))
    print(f"{len(documents):,} documents, {total:,} words, {len(plants):,} planted copies")
    texts = folder / "texts"
    texts.mkdir()
    for i in range(FILES):
        lines = [json.dumps({"text": " ".join(words)}) + "\n" for words in documents[i::FILES]]
        (texts / f"{i}.jsonl").write_text("".join(lines))
    order = [words for i in range(FILES) for words in documents[i::FILES]]
    place = {row: at for at, row in enumerate(row for i in range(FILES) for row in range(i, len(documents), FILES))}
    ours = run(folder, texts, "here", "here")
    theirs = peer(arguments.peer, folder, order) if arguments.peer else None
    # The truth comes last: what a process holds counts in the peak of those that it starts.
    first, everywhere = covered(order)
    found = spans_of(folder / "here", order)
    print(
        f"ours, one process: {ours.cpu:.1f} CPU seconds, peak {ours.peak / 1e6:.0f} MB, the read and the write included"
    )
    caught = sum(later(plant, place) <= found.get(row_of(plant, place), set()) for plant in plants)
    extra = sum(len(words - first.get(row, set())) for row, words in found.items())
    missing = sum(len(words - found.get(row, set())) for row, words in first.items())
    print(
        f"planted copies cut whole: {caught} of {len(plants)}; words cut beside the truth: {extra}, missing: {missing}"
    )
    left = sum(len(WORD.findall(text)) for text in written(folder / "here"))
    rest = total - sum(map(len, first.values()))
    print(f"words written: {left:,}; without all that is repeated: {rest:,}; equal: {left == rest}")
    digests = {"one process": digest(folder / "here")}
    for workers in arguments.workers:
        with measure.Everywhere() as everything:
            made = run(folder, texts, f"w{workers}", str(workers), {everything.mark: "1"})
        digests[f"{workers} workers"] = digest(folder / f"w{workers}")
        print(
            f"{workers} workers on Ray: {everything.cpu:.1f} CPU seconds of all processes, {made.wall:.0f} s, "
            f"equal bytes so far: {len(set(digests.values())) == 1}"
        )
    if arguments.workers and arguments.kills:
        killed(folder, texts)
        digests["killed in " + ", ".join(PHASES)] = digest(folder / "killed")
    print("equal bytes:", len(set(digests.values())) == 1, *digests)
    if theirs is not None:
        extra = sum(len(words - everywhere.get(row, set())) for row, words in theirs.items())
        missing = sum(len(words - theirs.get(row, set())) for row, words in everywhere.items())
        print(f"their spans beside the truth (all copies): {extra} words too many, {missing} missing")


def corpus(count: int, seed: int) -> tuple[list[list[str]], list[tuple[int, int, int, int, int]]]:
    """Documents of words drawn by their frequency in the demo corpus, every tenth one with a passage of another one.

    Returns them and the plants: (row, place) of the passage, (row, place) of its copy, words.
    """
    chance = random.Random(seed)
    known = Counter[str]()
    for path in sorted(DEMO.glob("corpus-*.jsonl.gz")):
        with gzip.open(path, "rt") as file:
            for line in file:
                known.update(WORD.findall(json.loads(line)["text"].lower()))
    words, weights = list(known), np.cumsum(list(known.values())).tolist()
    documents = [chance.choices(words, cum_weights=weights, k=chance.randint(60, 900)) for _ in range(count)]
    plants = []
    targets = chance.sample(range(count), count // 10)
    sources = sorted(set(range(count)) - set(targets))
    for target in targets:
        source = chance.choice(sources)
        size = min(chance.randint(SHORTEST, LONGEST), len(documents[source]))
        begin = chance.randrange(len(documents[source]) - size + 1)
        at = chance.randrange(len(documents[target]) + 1)
        documents[target][at:at] = documents[source][begin : begin + size]
        plants.append((source, begin, target, at, size))
    return documents, plants


def later(plant: Sequence[int], place: dict[int, int]) -> set[int]:
    """The words of the copy that comes later in the corpus."""
    source, begin, target, at, size = plant
    start = at if place[target] > place[source] else begin
    return set(range(start, start + size))


def row_of(plant: Sequence[int], place: dict[int, int]) -> int:
    """The row of the copy that comes later."""
    return max(place[plant[0]], place[plant[2]])


def covered(order: list[list[str]]) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """Row -> words that a repeat covers, without and with the first occurrence."""
    known: dict[bytes, tuple[int, int]] = {}
    first: dict[int, set[int]] = {}
    everywhere: dict[int, set[int]] = {}
    for row, words in enumerate(order):
        for at in range(len(words) - LENGTH + 1):
            run_of = words[at : at + LENGTH]
            where = known.setdefault(hashlib.blake2b(" ".join(run_of).encode(), digest_size=16).digest(), (row, at))
            if where == (row, at):
                continue
            begin = max(at, where[1] + LENGTH) if where[0] == row else at
            first.setdefault(row, set()).update(range(begin, at + LENGTH))
            everywhere.setdefault(row, set()).update(range(at, at + LENGTH))
            everywhere.setdefault(where[0], set()).update(range(where[1], where[1] + LENGTH))
    return first, everywhere


def command(folder: Path, texts: Path, name: str, cpus: str) -> list[str]:
    return [sys.executable, "-c", RUN, str(folder / name), str(texts), str(LENGTH), cpus]


def run(folder: Path, texts: Path, name: str, cpus: str, environment: dict[str, str] | None = None) -> measure.Measured:
    return measure.command(command(folder, texts, name, cpus), folder / f"{name}.log", environment)


def killed(folder: Path, texts: Path) -> None:
    """Run again and again; the driver and all that it started are killed when a phase has its first receipt."""
    for phase in PHASES:
        with open(folder / "killed.log", "ab") as log:
            driver = subprocess.Popen(
                command(folder, texts, "killed", "2"), stdout=log, stderr=log, start_new_session=True
            )
            while driver.poll() is None and not any((folder / "killed").glob(f"nodes/substring*/receipts/{phase}/*")):
                time.sleep(0.01)
            print(f"killed in {phase}:", driver.poll() is None)
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    run(folder, texts, "killed", "2")


def digest(store: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(store.glob("nodes/*/data/**/*")):
        if path.is_file():
            state.update(f"{path.relative_to(store)}\n".encode() + path.read_bytes())
    return state.hexdigest()


def spans_of(store: Path, order: list[list[str]]) -> dict[int, set[int]]:
    """Row of the corpus -> words that are copied, from `copied_spans`."""
    row_of = {" ".join(words): row for row, words in enumerate(order)}
    (base,) = store.glob("nodes/read*/data/shards")
    found: dict[int, set[int]] = {}
    for path in store.glob("nodes/substring_dedup*/data/rows/*.parquet"):
        texts = pq.read_table(base / path.name.partition("-")[2])["text"].to_pylist()
        for text, spans in zip(texts, pq.read_table(path)["copied_spans"].to_pylist(), strict=True):
            for span in spans.split(", ") if spans else ():
                start, stop = span.split()[0].split("-")
                found.setdefault(row_of[text], set()).update(range(int(start), int(stop)))
    return found


def written(store: Path) -> list[str]:
    paths = sorted(store.glob("nodes/write*/data/**/*.parquet"))
    return [text for path in paths for text in pq.read_table(path)["text"].to_pylist()]


def peer(program: Path, folder: Path, order: list[list[str]]) -> dict[int, set[int]]:
    """Row -> words that they find. They get words as numbers of four bytes, and before each document one of its own."""
    number: dict[str, int] = {}
    starts, parts = [], []
    size = 0
    for row, words in enumerate(order):
        own = [0xFF000000 + row, *(number.setdefault(word, len(number)) for word in words)]
        starts.append(size + 1)
        size += len(own)
        parts.append(np.array(own, np.uint32))
    data = folder / "peer" / "data"
    data.parent.mkdir()
    np.concatenate(parts).tofile(data)
    (folder / "peer" / "cache").mkdir()
    threshold = ("--length-threshold", str(4 * LENGTH), "--cache-dir", str(folder / "peer" / "cache"))
    steps = [
        ("make", "--data-file", str(data)),
        ("self-similar", "--data-file", str(data), *threshold, "--num-threads", "1"),
        ("collect", "--data-file", str(data), *threshold),
    ]
    made = [measure.command([str(program), *step], folder / f"peer-{step[0]}.log") for step in steps]
    cpu = " + ".join(f"{one.cpu:.1f}" for one in made)
    peak = max(one.peak for one in made) / 1e6
    print(
        f"dedup_dataset make, self-similar, collect: {cpu} CPU seconds, peak {peak:.0f} MB (no read, no write of texts)"
    )
    lines = (folder / "peer-collect.log").read_text().splitlines()
    found: dict[int, set[int]] = {}
    for line in lines[lines.index("out") + 1 :]:
        begin, end = (int(text) for text in line.split())
        for word in range(-(-begin // 4), end // 4):
            row = int(np.searchsorted(starts, word, side="right")) - 1
            found.setdefault(row, set()).add(word - starts[row])
    return found


if __name__ == "__main__":
    main()
