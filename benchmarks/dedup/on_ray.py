"""The rows that are measured with the nodes on Ray: speed, memory, bytes, the verdict whatever dies, increments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.dedup import measure
from benchmarks.dedup.corpus import Corpus
from benchmarks.dedup.records import Records, say

SHARDS = {"c10": 4, "c30": 6, "c50": 10, "c100": 20}
PHASES = ("keys", "edges", "components", "keep", "verdict", "rows")  # merge begins at a million requests


def stage(cache: Path, name: str, environment: dict[str, str] | None = None, **wish: Any) -> dict[str, Any]:
    """One run of the nodes on Ray, in a fresh store unless one is named."""
    if "store" not in wish:
        wish["store"] = str(cache / "stores" / name)
        shutil.rmtree(wish["store"], ignore_errors=True)
    log = cache / "logs" / f"stage-{name}.txt"
    return measure.module("benchmarks.dedup.stage", json.dumps(wish), log=log, environment=environment).said


def split(corpus: Corpus, shards: int, rows: slice = slice(None), name: str = "parts") -> str:
    """The corpus in files, as a glob."""
    folder = corpus.folder / name
    if not folder.exists():
        table = pq.read_table(corpus.path)[rows]
        folder.mkdir()
        for i in range(shards):
            part = table.slice(len(table) * i // shards, len(table) * (i + 1) // shards - len(table) * i // shards)
            pq.write_table(
                part, folder / f"{name}-{i:03d}.parquet", compression="zstd", compression_level=3, row_group_size=5_000
            )
    return f"{folder}/*.parquet"


def processes(cache: Path, corpus: Corpus) -> float:
    folder = Path(split(corpus, SHARDS[corpus.folder.name.rpartition("-")[0]])).parent
    out = cache / "stores" / "processes"
    shutil.rmtree(out, ignore_errors=True)
    log = cache / "logs" / "processes.txt"
    return measure.module("benchmarks.dedup.processes", str(folder), str(out), "2", log=log).said["cpu"]


def stage_rows(records: Records, cache: Path, big: Corpus, middle: Corpus, others, rounds: int) -> None:
    """Speed, memory and bytes of the nodes on Ray; `others` ran on `big` too."""
    used: dict[Corpus, list[dict[str, Any]]] = {middle: [], big: []}
    floor: dict[Corpus, list[float]] = {middle: [], big: []}
    for _ in range(rounds + 1):
        for corpus in (middle, big):
            paths = [split(corpus, SHARDS[corpus.folder.name.rpartition("-")[0]])]
            used[corpus].append(stage(cache, "ours", paths=paths))
            floor[corpus].append(processes(cache, corpus))
    for made in (*used.values(), *floor.values()):
        del made[0]  # the first fills the JIT cache and the page cache
    ours = min(used[big], key=lambda made: made["cpu"])
    few = stage(cache, "few", paths=[split(middle, 1, slice(0, 10), "few")])
    say(f"\nRay stage, with the write; memory {_megabytes(ours['memory'])}")
    # As nodes alone, once workers are there and the files are read; and from the start of Ray on.
    costs = {"": "cpu", ", `read` and the start of workers included": "whole_cpu"}
    for how, key in costs.items():
        cpu, fixed = ours[key], few[key]
        say(
            f"{big.documents / cpu:,.0f} docs/cpu-s{how}: {cpu:.2f} cpu-s, ten documents alone {fixed:.2f}; "
            f"further documents {(big.documents - 10) / max(cpu - fixed, 1e-9):,.0f} docs/cpu-s"
        )
    for name, least in (("datasketch", 10), ("rensa", 5), ("datatrove", 80), ("data-juicer", None)):
        run = others.get(name, (None, ""))[0]
        theirs = (run.said.get("after_init_cpu") or run.cpu) if run else None
        what = f"Ray stage with its write against {name}"
        if least is None:
            records.shown("B-4", what, theirs / ours["cpu"] if theirs else None)
        else:
            records.at_least("B-4", what, theirs / ours["cpu"] if theirs else None, least)
        for how, key in costs.items():
            if how:
                records.shown("B-4", what + how, theirs / ours[key] if theirs else None)
            more = theirs / max(ours[key] - few[key], 1e-9) if theirs else None
            records.shown("B-4", f"{what}{how}, per further document", more)
    records.at_most("B-5", "Ray CPU over multiprocessing CPU", ours["cpu"] / min(floor[big]), 2.0)
    records.shown("B-5", "of it ten documents alone", few["cpu"], "cpu-s")
    # The two corpora of a round are subtracted: a difference of minima would be one of two lucky runs.
    further_ours = np.median([b["cpu"] - m["cpu"] for m, b in zip(used[middle], used[big], strict=True)])
    further_floor = np.median(np.subtract(floor[big], floor[middle]))
    more = float(further_ours / further_floor)
    lucky = (ours["cpu"] - min(m["cpu"] for m in used[middle])) / (min(floor[big]) - min(floor[middle]))
    say(f"per further document, over multiprocessing: {more:.2f} by the median of rounds, {lucky:.2f} by minima")
    records.at_most("B-5", "the same, per further document, median of rounds", more, 1.3)
    group = max(
        pq.read_metadata(p).row_group(g).total_byte_size
        for p in (big.folder / "parts").glob("*.parquet")
        for g in range(1)
    )
    workers = max((size for name, size in ours["memory"].items() if name.startswith("ray::")), default=0)
    records.at_most("B-13", "peak memory of a worker", workers / 2**20, 0.6 * 1024 + 4 * group / 2**20, "MiB")
    records.at_most(
        "B-13", "components and everything else that grows with the rows", _bytes_per_row(cache), 12, "bytes a row"
    )
    records.at_most(
        "B-14", "exchanged bytes per document, exact band included", ours["key_bytes"] / big.documents, 240, "bytes"
    )


def _megabytes(memory: dict[str, int]) -> str:
    kinds = {name: size // 2**20 for name, size in sorted(memory.items()) if size > 2**24}
    return ", ".join(f"{name} {size} MiB" for name, size in kinds.items())


def _bytes_per_row(cache: Path) -> float:
    said = measure.module("benchmarks.dedup.scale", "components", "100000000", log=cache / "logs" / "scale.txt").said
    say(f"components of 1e8 rows: {said}")
    return said["bytes_per_row"]


def digest_rows(records: Records, cache: Path, corpus: Corpus) -> None:
    paths = [split(corpus, SHARDS["c10"])]
    digests = {
        f"{cpus} workers": stage(cache, "digest", paths=paths, cpus=cpus, write=False)["digest"] for cpus in (1, 2, 3)
    }
    for phase in PHASES:
        digests[f"a worker killed in {phase}"] = killed(cache, paths, phase, alone=True)
        digests[f"the driver killed in {phase}"] = killed(cache, paths, phase, alone=False)
    records.equal("B-10", f"one digest for {', '.join(digests)}", len(set(digests.values())) == 1)


def killed(cache: Path, paths: list[str], phase: str, alone: bool) -> str:
    """The digest of a run that lost a worker, or all of its processes and went on, between data and receipt."""
    mark = cache / "stores" / "killed"
    mark.unlink(missing_ok=True)
    wish = {"SIFTLOOM_KILL": f"/{phase}:before-receipt", "SIFTLOOM_KILL_MARK": str(mark)}
    if alone:
        return _after(
            mark, stage(cache, "digest", paths=paths, write=False, environment={**wish, "SIFTLOOM_KILL_ALONE": "1"})
        )
    try:
        stage(cache, "digest", paths=paths, write=False, environment=wish)
    except measure.Failed:
        store = str(cache / "stores" / "digest")
        return _after(mark, stage(cache, "digest", paths=paths, write=False, store=store))
    raise measure.Failed(f"nothing was killed in {phase}")


def _after(mark: Path, said: dict[str, Any]) -> str:
    if not mark.exists():
        raise measure.Failed("nothing was killed")
    return said["digest"]


def incremental_rows(records: Records, cache: Path, corpus: Corpus, rounds: int) -> None:
    """Five per cent of new documents against the rest; and a changed threshold."""
    cut = int(corpus.documents * 0.95)
    old = [split(corpus, 10, slice(None, cut), "1-old")]  # files are read in order of their names
    new = [split(corpus, 1, slice(cut, None), "2-new")]
    removed = {name: str(cache / "stores" / f"{name}.parquet") for name in ("full", "more")}

    def share(write: bool) -> float:
        """CPU of the new documents over that of all; best of several rounds, of which a short run takes more."""
        used: dict[str, list[float]] = {"full": [], "more": []}
        for _ in range(rounds):
            full = stage(cache, "full", paths=[*old, *new], write=write, removed=removed["full"])
            more = stage(cache, "more", paths=new, against=old, write=write, removed=removed["more"])
            used["full"].append(full["cpu"])
            used["more"].append(more["cpu"])
        least = {name: min(cpu) for name, cpu in used.items()}
        how = "with" if write else "without"
        say(f"incremental, {how} the writes: {least['more']:.2f} of {least['full']:.2f} cpu-s")
        return least["more"] / least["full"]

    records.at_most("B-15", "CPU of 5 % new documents with `against` over a full dedup", share(write=False), 0.1, "")
    records.at_most("B-15", "the same, each with the write of what is kept, as in B-4", share(write=True), 0.1, "")
    log = cache / "logs" / "incremental.txt"
    said = measure.module("benchmarks.dedup.incremental", old[0], new[0], *removed.values(), log=log).said
    records.equal("B-15", "the same documents go, for the same ones, as with the old ones pinned", said["equal"])
    say(f"{said['new']:,} new documents, {said['removed']:,} go; of a plain full run {said['differ']} differ")
    records.at_most(
        "B-15", "difference from a plain full run, of the new ones", said["differ"] / said["new"], 0.001, ""
    )
    store = str(cache / "stores" / "full")
    again = stage(cache, "again", paths=[*old, *new], store=store, min_jaccard=0.7, write=False)
    records.equal("B-16", "a changed min_jaccard takes over the keys, no kernel call", again["keys_linked"])
    say(f"a changed min_jaccard: {again['cpu']:.1f} cpu-s, workers started anew")
