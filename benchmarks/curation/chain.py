"""A whole curation in one process and on one core, ours and datatrove's.

`python -m benchmarks.curation.chain TEXT.parquet MODEL.bin FOLDER` prints CPU microseconds a document, step by step, as
a line of JSON.

Parquet is read, then language, Gopher's two rule sets, near-duplicates, a classifier, and the better half. Both ask the
same fastText models, as datatrove's own filter does, which wants another package for it. datatrove splits words as it
does and hashes shingles with sha1 (xxhash fails with the version that is installed), ours splits at white space. What
loads once (models, spaCy's rules, our machine code) is loaded before.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.curation.peers import DOCS, _reasons

BATCH = 1_000


class Clock:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        before = time.process_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - before


def ours(source: Path, model: Any, folder: Path, clock: Clock) -> int:
    """How many documents are kept."""
    from benchmarks.dedup import one_process
    from stages.clean.gopher_quality import GopherQuality
    from stages.clean.gopher_repetition import GopherRepetition
    from stages.clean.language import Language
    from stages.fasttext_models import good_shares
    from stages.quality.lines import Normaliser

    nodes = (Language(docs=DOCS), GopherQuality(docs=DOCS), GopherRepetition(docs=DOCS))
    functions = [(node, node.open(None)) for node in nodes]  # pyright: ignore[reportArgumentType]
    functions[0][1](pa.table({"text": ["to load the model"]}))
    lines = Normaliser(3000, 20)
    good_shares(model, ["to load the model"])
    left = []
    with pq.ParquetFile(source) as file:
        batches = file.iter_batches(BATCH, columns=["text"], use_threads=False)
        while True:
            with clock("read (decode Parquet)"):
                batch = next(batches, None)
            if batch is None:
                break
            table = pa.Table.from_batches([batch])
            for node, function in functions:
                with clock(node.kind()):
                    reasons = _reasons(node, function(table))
                    table = table.filter(pa.array([reason is None for reason in reasons]))
            left.append(table)
    table = pa.concat_tables(left)
    with clock("near-duplicates"):
        pq.write_table(table, folder / "left.parquet", row_group_size=BATCH, compression="zstd")
        with contextlib.redirect_stdout(io.StringIO()):
            one_process.main(str(folder / "left.parquet"), str(folder / "kept.npy"))
        table = table.filter(pa.array(np.load(folder / "kept.npy")))
    with clock("quality"):
        found = good_shares(model, [line or "" for line in lines.lines(table["text"])])
    with clock("select"):
        return int((found >= np.quantile(found, 0.5)).sum())


def theirs(source: Path, model: str, folder: Path) -> tuple[float, int]:
    """(CPU seconds, documents that are kept) of datatrove's pipeline, with its executor of one local worker."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.filters.base_filter import BaseFilter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    from stages.fasttext_models import LABEL, bundled_language_model, load

    loaded = cache(load)
    loaded(str(bundled_language_model())), loaded(model)

    class Classified(BaseFilter):
        """What its `FastTextClassifierFilter` does with a page."""

        name = "fastText"

        def __init__(self, path: str, label: str, least: float) -> None:
            super().__init__()
            self.path, self.label, self.least = path, f"{LABEL}{label}", least

        def filter(self, doc: Document) -> bool:
            labels, shares = loaded(self.path).predict([doc.text.replace("\n", " ")], k=-1)
            return dict(zip(labels[0], shares[0], strict=True)).get(self.label, 0.0) >= self.least

    config = minhash.MinhashConfig(
        n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=32, hash_fc="sha1")
    )
    place = {name: str(folder / name) for name in ("in", "rules", "sign", "buckets", "remove", "out", "logs")}
    os.makedirs(place["in"])
    pq.write_table(pq.read_table(source), f"{place['in']}/text.parquet")

    def step(name: str, *blocks: Any, tasks: int = 1) -> None:
        logs = f"{place['logs']}/{name}"
        LocalPipelineExecutor(list(blocks), tasks=tasks, workers=1, logging_dir=logs, skip_completed=False).run()

    for each in (GopherRepetitionFilter(), GopherQualityFilter()):
        each.filter(Document(text="to load the rules of words", id=""))
    before = _spent()
    step(
        "rules", ParquetReader(place["in"]),
        Classified(str(bundled_language_model()), "en", 0.65), GopherRepetitionFilter(), GopherQualityFilter(),
        ParquetWriter(place["rules"]),
    )  # fmt: skip
    step("sign", ParquetReader(place["rules"]), minhash.MinhashDedupSignature(place["sign"], config=config))
    step("buckets", minhash.MinhashDedupBuckets(place["sign"], place["buckets"], config=config), tasks=14)
    step("cluster", minhash.MinhashDedupCluster(place["buckets"], place["remove"], config=config))
    step(
        "quality", ParquetReader(place["rules"]), minhash.MinhashDedupFilter(place["remove"]),
        Classified(model, "good", 0.5), ParquetWriter(place["out"]),
    )  # fmt: skip
    spent = _spent() - before
    return spent, sum(pq.read_metadata(path).num_rows for path in Path(place["out"]).glob("*.parquet"))


def _spent() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in used)


def median(run: Callable[[Clock], int], rounds: int) -> tuple[dict[str, float], int]:
    """(the median of each step's seconds, what the last round kept)."""
    found, kept = [], 0
    for _ in range(rounds):
        clock = Clock()
        kept = run(clock)
        found.append(clock.spent)
    return {name: float(np.median([each[name] for each in found])) for name in found[0]}, kept


def main(source: str, model: str, folder: str) -> None:
    from stages.fasttext_models import load
    from stages.hashing.sketch import warm

    pa.set_cpu_count(1)
    warm()
    loaded, many = load(Path(model)), pq.read_metadata(source).num_rows
    ours(Path(source), loaded, Path(folder), Clock())
    steps, kept = median(lambda clock: ours(Path(source), loaded, Path(folder), clock), 5)
    spent, their = theirs(Path(source), model, Path(folder))
    us = {name: seconds / many * 1e6 for name, seconds in steps.items()}
    print(json.dumps({"documents": many, "ours": us, "theirs": spent / many * 1e6, "kept": [kept, their]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
