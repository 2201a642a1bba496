"""datasketch: `python datasketch_run.py TEXT.parquet OUT.npy sha1|xxh`. Prints the CPU of the signature stage."""

import json
import re
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH

WORD = re.compile(r"\w+")


def shingles(text: str) -> set[bytes]:
    words = WORD.findall(text.lower())
    return {" ".join(words[i : i + 5]).encode() for i in range(max(len(words) - 4, min(len(words), 1)))}


def main(source: str, out: str, hashing: str) -> None:
    options = {}
    if hashing == "xxh":
        import xxhash

        options = {"hashfunc": xxhash.xxh32_intdigest}
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    start = time.process_time()
    sketches = []
    for text in texts:
        sketch = MinHash(num_perm=112, seed=1, **options)
        sketch.update_batch(shingles(text))
        sketches.append(sketch)
    stage = time.process_time() - start
    index = MinHashLSH(num_perm=112, params=(14, 8))
    parent = list(range(len(texts)))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for row, sketch in enumerate(sketches):
        for other in index.query(sketch):
            a, b = sorted((root(row), root(other)))
            parent[b] = a
        index.insert(row, sketch, check_duplication=False)
    np.save(out, np.array([root(row) == row for row in range(len(texts))]))
    print(json.dumps({"signature_cpu": stage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
