"""The benchmark's correctness columns on a corpus of a few thousand generated documents: no network, no peers."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.dedup import quality
from benchmarks.dedup.corpus import Corpus, jaccard, pieces, plain, plant
from tests.stages.dedup.planted import document


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    chance = random.Random(1)
    template = " ".join(document(chance, 60))
    texts = [" ".join(document(chance, 200)) for _ in range(1400)]
    texts += [f"{' '.join(document(chance, 30))} {template}" for _ in range(200)]  # chains of pages of one template
    texts, left, right = plant(texts, 1000, seed=2)
    folder = tmp_path_factory.mktemp("corpus")
    similarity = np.array([jaccard(texts[a], texts[b]) for a, b in zip(left, right, strict=True)])
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "text.parquet", row_group_size=500)
    return Corpus(folder, left, right, similarity)


@pytest.fixture(scope="module")
def sides(corpus):
    text = pq.read_table(corpus.path)["text"].combine_chunks()
    return tuple(text.take(pa.array(side)) for side in (corpus.left, corpus.right))


def test_planted_pairs_cover_the_bins(corpus):
    counts, _ = np.histogram(corpus.jaccard, bins=[0.2, 0.4, 0.6, 0.8, 1.01])
    assert counts.min() > 40


def test_recall_follows_the_curve(corpus, sides):
    found = quality.recall(*sides, corpus.jaccard)
    assert abs(found["mean_z"]) <= 0.75
    assert found["worst_bin"] <= 3.5
    assert sum(line[2] for line in found["bins"]) > 500


def test_estimates_err_as_theory_says(corpus, sides):
    assert all(ratio <= 1.05 for ratio in quality.errors(*sides, corpus.jaccard).values())


def test_signatures_are_datasketchs(corpus):
    texts = pq.read_table(corpus.path)["text"][:300].to_pylist()
    assert quality.equal_to_datasketch(texts) == {"texts": 300, "equal": 300, "found": 300}


def test_removals_are_justified(corpus):
    found = quality.removals(corpus)
    assert found["labels_equal"]
    assert found["below"] == 0
    assert found["plain_below"] > 0, "no chain in the corpus: the check is not tested"
    assert found["caught"]["0.8"] >= 0.98
    assert found["caught"]["0.9"] >= 0.999


def test_pages_become_pieces():
    page = (
        "<html><head><title>x</title></head><body><h1>A &amp; B</h1><script>no</script><p>one\n two</p></body></html>"
    )
    assert plain(page) == "A & B\none\ntwo"
    found = list(pieces("\n".join(["a line of some length"] * 500)))
    assert all(600 <= len(piece) <= 3100 for piece in found)
    assert not list(pieces("short"))
