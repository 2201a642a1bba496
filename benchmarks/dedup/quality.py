"""Recall, estimates and removals of ours, on arrays: `python -m benchmarks.dedup.quality CORPUS_FOLDER`."""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dedup.corpus import Corpus
from stages.dedup.anchors import judge
from stages.dedup.figures import probability
from stages.dedup.key_files import range_of
from stages.dedup.union_find import clusters, flatten, forest, range_edges, union
from stages.hashing.scheme import Scheme
from stages.hashing.shingles import shingle_hash32, shingles
from stages.hashing.sketch import sketch, warm

BINS = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
SEEDS = 16


def recall(left: pa.Array, right: pa.Array, similarity: np.ndarray) -> dict:
    """Any shared band, over permutation seeds, held against the curve."""
    expected = probability(similarity, 14, 8)
    found = np.zeros((SEEDS, len(similarity)))
    for seed in range(SEEDS):
        one, other = (sketch(side, Scheme(seed=seed + 1), exact=False).keys for side in (left, right))
        found[seed] = (one == other).any(axis=1)
    inside = (similarity >= BINS[0]) & (similarity < 1)
    z = [
        (row[inside].sum() - expected[inside].sum()) / np.sqrt((expected * (1 - expected))[inside].sum())
        for row in found
    ]
    table, worst = [], 0.0
    for low, high in itertools.pairwise(BINS):
        at = (similarity >= low) & (similarity < high)
        if not at.any():
            continue
        # Pairs that share documents' words are not independent over pairs, but seeds are: the error is theirs.
        per_seed = found[:, at].mean(axis=1)
        binomial = np.sqrt((expected * (1 - expected))[at].sum()) / at.sum() / np.sqrt(SEEDS)
        error = max(per_seed.std(ddof=1) / np.sqrt(SEEDS), binomial, 1e-9)
        off = (per_seed.mean() - expected[at].mean()) / error
        worst = max(worst, abs(off))
        table.append(
            [low, high, int(at.sum()), round(per_seed.mean(), 4), round(expected[at].mean(), 4), round(off, 2)]
        )
    return {"mean_z": float(np.mean(z)), "sd_z": float(np.std(z, ddof=1)), "worst_bin": worst, "bins": table}


def errors(left: pa.Array, right: pa.Array, similarity: np.ndarray) -> dict[str, float]:
    """Root mean square error of the estimate over its theory, sqrt(mean J(1-J)/k)."""
    found = {}
    for places in (112, 256):
        squares = []
        for seed in range(1, SEEDS + 1):
            scheme = Scheme(bands=places // 8, seed=seed)
            one, other = (
                sketch(side, scheme, signatures=True, keys=False, exact=False).signatures for side in (left, right)
            )
            squares.append((((one == other).mean(axis=1) - similarity) ** 2).mean())
        found[str(places)] = float(np.sqrt(np.mean(squares) / ((similarity * (1 - similarity)).mean() / places)))
    return found


def equal_to_datasketch(texts: list[str]) -> dict[str, int]:
    """Signatures that equal datasketch's, and copies that its LSH finds by our rows."""
    from datasketch import MinHash, MinHashLSH

    made = sketch(pa.array(texts), signatures=True).signatures
    index, equal, hits = MinHashLSH(num_perm=112, params=(14, 8)), 0, 0
    theirs = []
    for i, text in enumerate(texts):
        of = MinHash(num_perm=112, seed=1, hashfunc=shingle_hash32)
        of.update_batch(shingles(text))
        theirs.append(of)
        equal += bool((of.hashvalues == made[i]).all())
        index.insert(i, MinHash(hashvalues=made[i], scheme="affine32", seed=1))
    hits = sum(i in index.query(of) for i, of in enumerate(theirs))
    return {"texts": len(texts), "equal": equal, "found": hits}


def removals(corpus: Corpus) -> dict:
    """The whole corpus: removed rows against their kept one, planted pairs caught, labels over numbers of ranges."""
    text = pq.read_table(corpus.path, columns=["text"])["text"]
    made = sketch(text, signatures=True)
    rows = np.repeat(np.arange(len(text), dtype=np.uint32), 15)
    keys = np.concatenate([made.keys, made.exact[:, :1]], axis=1).ravel()
    labels = {}
    parent = forest(0)
    for ranges in (1, 2, 7, 16):
        parent = forest(len(text))
        where = range_of(keys, ranges)
        for q in random.Random(ranges).sample(range(ranges), ranges):
            order = np.random.default_rng(q).permutation(np.flatnonzero(where == q))
            found = range_edges(keys[order], rows[order])
            union(parent, found[:, 0], found[:, 1])
        flatten(parent)
        labels[ranges] = hash(parent.tobytes())
    members, starts = clusters(parent)
    start = time.process_time()
    verdict = judge(starts, np.zeros(len(members), np.int64), made.signatures[members], made.exact[members])
    spent = time.process_time() - start
    goes = np.flatnonzero(verdict.anchor != np.arange(len(members)))
    kept = members[verdict.anchor[goes]]
    agree = (made.signatures[members[goes]] == made.signatures[kept]).mean(axis=1)
    removed = np.zeros(len(text), bool)
    removed[members[goes]] = True
    plain = members[np.repeat(starts[:-1], np.diff(starts))]
    far = (made.signatures[members] == made.signatures[plain]).mean(axis=1) < 0.6
    gone = removed[corpus.left] | removed[corpus.right]
    caught = {str(low): float(gone[corpus.jaccard >= low].mean()) for low in (0.8, 0.9)}
    return {
        "labels_equal": len(set(labels.values())) == 1,
        "removed": int(removed.sum()),
        "below": int((agree < 0.6).sum()),
        "caught": caught,
        "plain_removed": int(len(members) - len(starts) + 1),
        "plain_below": int(far.sum()),
        "judge_cpu": spent,
        "largest": int(np.diff(starts).max(initial=0)),
    }


def speed(corpus: Corpus) -> dict[str, float]:
    """CPU of the Parquet read of the text column (one thread) and of the kernel on what was read."""
    pa.set_cpu_count(1)
    warm()
    reads, kernels, size = [], [], 0
    for _ in range(3):
        start = time.process_time()
        text = pq.read_table(corpus.path, columns=["text"], use_threads=False)["text"]
        reads.append(time.process_time() - start)
        start = time.process_time()
        for chunk in text.chunks:
            sketch(chunk, signatures=True)
        kernels.append(time.process_time() - start)
        size = text.nbytes
    return {
        "first_read": reads[0],  # its memory comes fresh from the system, as that of any process that begins
        "read": min(reads),
        "kernel": min(kernels),
        "megabytes": size / 1e6,
        "documents": corpus.documents,
    }


def main(folder: str) -> None:
    with np.load(f"{folder}/planted.npz") as planted:
        corpus = Corpus(Path(folder), planted["left"], planted["right"], planted["jaccard"])
    fast = speed(corpus)  # first, while no memory has been used before
    text = pq.read_table(corpus.path, columns=["text"])["text"].combine_chunks()
    left, right = (text.take(pa.array(side)) for side in (corpus.left, corpus.right))
    chance = random.Random(2)
    some = [text[i].as_py() for i in chance.sample(range(len(text)), 200)]
    some += [
        "".join(
            chr(chance.choice([*range(0x20, 0x24F), *range(0x370, 0x3FF), *range(0x4E00, 0x4F00)])) for _ in range(200)
        )
        for _ in range(150)
    ]
    said = {
        "speed": fast,
        "recall": recall(left, right, corpus.jaccard),
        "errors": errors(left, right, corpus.jaccard),
        "datasketch": equal_to_datasketch(some),
        "removals": removals(corpus),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
