"""rensa: `python rensa_run.py TEXT.parquet OUT.npy`. Its MinHash and its LSH index, one document after the other."""

import json
import re
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from rensa import RMinHash, RMinHashLSH

WORD = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + 5]) for i in range(max(len(words) - 4, min(len(words), 1)))]


def main(source: str, out: str) -> None:
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    start = time.process_time()
    sketches = []
    for text in texts:
        sketch = RMinHash(112, 1)
        sketch.update(shingles(text))
        sketches.append(sketch)
    stage = time.process_time() - start
    index = RMinHashLSH(0.7, 112, 14)
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
        index.insert(row, sketch)
    np.save(out, np.array([root(row) == row for row in range(len(texts))]))
    print(json.dumps({"signature_cpu": stage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
