"""gaoya: `python gaoya_run.py TEXT.parquet OUT.npy`. Inserting makes the signature; candidates are verified by it."""

import json
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from gaoya.minhash import MinHashStringIndex


def main(source: str, out: str) -> None:
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    index = MinHashStringIndex(
        hash_size=32, jaccard_threshold=0.75, num_bands=14, band_size=8, num_hashes=112,
        analyzer="word", lowercase=True, ngram_range=(5, 5),
    )  # fmt: skip
    start = time.process_time()
    for row, text in enumerate(texts):
        index.insert_document(row, text)
    stage = time.process_time() - start
    removed: set[int] = set()
    for row, text in enumerate(texts):
        if row not in removed:
            removed.update(other for other in index.query(text) if other > row)
    np.save(out, np.array([row not in removed for row in range(len(texts))]))
    print(json.dumps({"signature_cpu": stage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
