"""datatrove: `python datatrove_run.py TEXT.parquet OUT.npy`. Its four steps on one local worker, 32-bit xxhash."""

import json
import os
import resource
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig


def spent() -> float:
    return sum(
        part.ru_utime + part.ru_stime
        for part in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main(source: str, out: str) -> None:
    folder = tempfile.mkdtemp(prefix="datatrove-")
    table = pq.read_table(source, columns=["id", "text"])
    rows = table.num_rows

    os.makedirs(f"{folder}/in")
    pq.write_table(table.set_column(0, "id", table["id"].cast(pa.string())), f"{folder}/in/text.parquet")
    del table
    config = MinhashConfig(
        n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=32, hash_fc="xxhash")
    )

    def step(name: str, *pipeline, tasks: int = 1) -> None:
        LocalPipelineExecutor(
            pipeline=list(pipeline), tasks=tasks, workers=1, logging_dir=f"{folder}/logs/{name}", skip_completed=False
        ).run()

    before = spent()
    step("sign", ParquetReader(f"{folder}/in"), MinhashDedupSignature(f"{folder}/sign", config=config))
    stage = spent() - before
    step("buckets", MinhashDedupBuckets(f"{folder}/sign", f"{folder}/buckets", config=config), tasks=14)
    step("cluster", MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config))
    step(
        "filter", ParquetReader(f"{folder}/in"), MinhashDedupFilter(f"{folder}/remove"), ParquetWriter(f"{folder}/out")
    )
    kept = np.zeros(rows, bool)
    for path in sorted(os.listdir(f"{folder}/out")):
        kept[pq.read_table(f"{folder}/out/{path}", columns=["id"])["id"].cast(pa.int64()).to_numpy()] = True
    np.save(out, kept)
    print(json.dumps({"signature_cpu": stage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
