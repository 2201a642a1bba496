"""Coherence against the same sums block by block, and on real pages against the same pages shuffled together."""

import gzip
import json
import math
from collections import Counter
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import RecipeError
from stages.quality.coherence import Coherence
from stages.read.read import Read

DOCS = Read(paths=("unread",))


def scores(texts, **fields):
    """(coherence, valley, blocks) of each text."""
    found = Coherence(docs=DOCS, **fields).open(None)(pa.table({"text": texts})).added
    return tuple(found[name].tolist() for name in ("coherence", "coherence_valley", "coherence_blocks"))


def by_hand(text: str, size: int) -> tuple[float, float]:
    words = text.lower().split()
    many = len(words) // size
    blocks = [Counter(words[i * size : (i + 1) * size if i + 1 < many else None]) for i in range(many)]
    vectors = [{w: 1 + math.log(c) for w, c in block.items()} for block in blocks]

    def cosine(a: dict, b: dict) -> float:
        return sum(x * b.get(w, 0) for w, x in a.items()) / math.hypot(*a.values()) / math.hypot(*b.values())

    table = np.array([[cosine(a, b) for a in vectors] for b in vectors])
    return np.diag(table, 1).mean(), min(table[:i, i:].mean() for i in range(1, many))


def test_the_measure_is_that_of_blocks_one_by_one():
    draw = np.random.default_rng(1)
    texts = [" ".join(f"w{n}x" for n in draw.integers(0, 12 + 9 * (np.arange(n) // 20))) for n in (60, 101, 39, 240)]
    mean, valley, blocks = scores(texts, block_words=10, min_blocks=4)
    assert blocks == [6, 10, 3, 24]
    assert mean[2] is None is valley[2]
    for i in (0, 1, 3):
        assert (mean[i], valley[i]) == pytest.approx(by_hand(texts[i], 10), abs=1e-5)
        assert scores([texts[i]], block_words=10) == ([mean[i]], [valley[i]], [blocks[i]])  # whatever is in its batch


def test_pages_cohere_and_pages_stitched_from_others_do_not():
    with files("recipes").joinpath("corpus/corpus-00.jsonl.gz").open("rb") as raw, gzip.open(raw, "rt") as lines:
        pages = [json.loads(line)["text"].split()[:240] for line in lines]
    pages = [words for words in pages if len(words) == 240]
    pieces = [words[at : at + 40] for at in range(0, 240, 40) for words in pages]
    order = np.random.default_rng(0).permutation(len(pieces)).reshape(-1, 6).tolist()
    stitched = [[word for i in six for word in pieces[i]] for six in order]
    halves = [words[:120] + other[120:] for words, other in zip(pages, [*pages[1:], pages[0]], strict=True)]
    whole, mixed, half = (
        [np.array(values) for values in scores([" ".join(words) for words in side])[:2]]
        for side in (pages, stitched, halves)
    )
    assert len(pages) > 50
    assert (whole[0][:, None] > mixed[0][None]).mean() > 0.9
    assert (whole[1][:, None] > half[1][None]).mean() > 0.75


def test_fields_out_of_range_are_named_and_the_limit_removes():
    with pytest.raises(RecipeError):
        Coherence(docs=DOCS, min_blocks=1).check()
    node = Coherence(docs=DOCS, min=0.1, min_valley=0.05)
    values = {"coherence": [0.2, 0.0, None, 0.2], "coherence_valley": [0.1, 0.0, None, 0.01]}
    table = pa.table({name: pa.array(each, pa.float32()) for name, each in values.items()})
    assert node.decide(table).reason.to_pylist() == [None, "coherence.min", None, "coherence.min_valley"]
