"""Rows `read`: many small files, and Parquet that stays in place."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.engine.nodes import documents
from benchmarks.engine.records import record
from benchmarks.engine.tree_cpu import TreeCpu
from pipeline.contract import Source
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from pipeline.ray_runtime import session
from stages.read import parquet
from stages.read.in_place import examine
from stages.read.keep import KeptFields
from stages.read.read import Read

TIMES_FILES = 4
MOST_GROWTH = 1.25  # CPU per file of four times as many files, over that of the fewer
MOST_IN_PLACE = 0.2  # s of CPU per 221 MB of text
MEGABYTES = 221


def measure(folder: Path, files: int, megabytes: int, cpus: int) -> list[dict]:
    return [*many(folder, files, cpus), *in_place(folder, megabytes)]


def many(folder: Path, files: int, cpus: int) -> list[dict]:
    """CPU per file of so many files of JSON lines, and of four times as many: all processes, digests included."""
    session.start(cpus, None)
    records, costs = [], []
    for count in (files, files * TIMES_FILES):
        source = folder / f"files-{count}"
        source.mkdir()
        for number in range(count):
            text = f"document {number} of {count}: " + "a line of text that is long enough to be kept. " * 8
            (source / f"{number:06d}.jsonl").write_text(json.dumps({"text": text}) + "\n")
        cpu = TreeCpu()
        run(build([Read(paths=(str(source),))]), name="read", store=str(folder / f"read-{count}"),
            options=Options(cpus=cpus))  # fmt: skip
        costs.append(cpu.stop() / count)
        records.append(record("read", f"CPU per file, {count} files of one document", round(1000 * costs[-1], 2), "ms"))
    growth = round(costs[1] / costs[0], 2)
    most = MOST_GROWTH if files >= 10_000 else None
    return [*records, record("read", f"{TIMES_FILES} times the files: CPU per file over", growth, "1", most)]


def in_place(folder: Path, megabytes: int) -> list[dict]:
    """CPU of the task that looks at the text of a Parquet file, and how much of it is the decoding of the text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = documents(1000, 700, 0)
    table = pa.concat_tables([table] * max(1, megabytes * 10**6 // table["text"].nbytes))
    path = folder / "in-place.parquet"
    pq.write_table(table, path, compression="zstd", row_group_size=2000)
    source = Source(0, path.name, str(path), path.stat().st_size, "0" * 64)
    with path.open("rb") as stream:
        plan = parquet.survey(stream, source, "text", "id", KeptFields.parse(()), run_bytes=1 << 40)
        began = time.process_time()
        examine(stream, source, plan, plan.runs[0])
        examined = time.process_time() - began
    began = time.process_time()
    with pq.ParquetFile(path) as file:
        for _ in file.iter_batches(parquet.BATCH_ROWS, columns=["text"], use_threads=False):
            pass
    decoded = time.process_time() - began
    size = f"Parquet in place, {table['text'].nbytes / 1e6:.0f} MB of text"
    most = MOST_IN_PLACE if megabytes == MEGABYTES else None
    return [
        record("read", f"CPU of `read`, {size}", round(examined, 3), "s", most),
        record("read", f"to decode it and no more, {size}", round(decoded, 3), "s"),
    ]
