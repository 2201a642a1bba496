"""`semantic_dedup` against every pair of every cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.report.figures import check
from stages.generate import semantic_pairs
from stages.generate.semantic_dedup import SemanticDedup
from stages.generate.vectors import assign
from tests.stages.dedup.local import Corpus, LocalContext, Run, corpus

WIDTH, CLUSTERS = 8, 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Centres(Node):
    """Clusters that are known."""

    k: int = CLUSTERS
    gives = "clusters"


class RunWithModel(Run):
    """A run whose node has a `model`, which is a file of centres."""

    def __init__(self, docs: Corpus, folder: Path, centres: np.ndarray, batch: int = 50, **fields: Any) -> None:
        super().__init__(SemanticDedup(docs=docs, model=Centres(), **fields), folder, batch=batch)
        (folder / "centres").mkdir()
        np.save(folder / "centres/all.npy", centres)

    def _of(self, of: object) -> Run:
        return self


LocalContext_of = LocalContext._of


@pytest.fixture(autouse=True)
def model_of_the_run(monkeypatch):
    """The context finds the files of `model` in the folder of the run."""
    monkeypatch.setattr(LocalContext, "_of", lambda self, of: self.run if of == "model" else LocalContext_of(self, of))


def vectors(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors near to some directions, equal ones among them, and centres."""
    chance = np.random.default_rng(seed)
    hubs = chance.normal(size=(count // 6, WIDTH))
    found = hubs[chance.integers(0, len(hubs), count)] * chance.uniform(0.5, 2, (count, 1))
    found += chance.normal(size=found.shape) * chance.choice([0, 0.05, 0.2, 0.6], (count, 1))
    found[chance.integers(0, count, 5)] = 0
    return found.astype(np.float32), chance.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)


def documents(rows: np.ndarray, missing: set[int], shards: int) -> Corpus:
    values = [None if i in missing else row for i, row in enumerate(rows.tolist())]
    column = pa.array(values, pa.list_(pa.float32(), WIDTH))
    return corpus(["x"] * len(rows), shards, vector=column)


def plainly(rows, centres, missing, similarity, keep):
    """(position of the kept document or None, cosine or None) of every document: all pairs of each cluster."""
    have = [i for i in range(len(rows)) if i not in missing]
    nearest, distance = assign(rows[have], centres)
    wide = rows.astype(np.float64)
    unit = (wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)).astype(np.float32)
    found: list[tuple[Any, Any]] = [(None, None)] * len(rows)
    for cluster in range(len(centres)):
        members = [
            (d if keep == "nearest" else -d, i) for d, i, c in zip(distance, have, nearest, strict=True) if c == cluster
        ]
        kept = []
        for _, i in sorted(members):
            near = [(float((unit[i].astype(float) * unit[j].astype(float)).sum()), -n, j) for n, j in enumerate(kept)]
            cosine, _, j = max(near, default=(-2.0, 0, None))
            if cosine >= similarity:
                found[i] = (j, np.float32(cosine))
            else:
                kept.append(i)
    return found


@pytest.mark.parametrize("keep", ["farthest", "nearest"])
@pytest.mark.parametrize("similarity", [0.8, 0.97, 1.0])
def test_pairs_are_those_of_all_pairs_of_a_cluster(tmp_path, monkeypatch, keep, similarity):
    rows, centres = vectors(1, 400)
    missing = {3, 77, 399}
    monkeypatch.setattr(semantic_pairs, "BLOCK", 32)
    run = RunWithModel(documents(rows, missing, 3), tmp_path, centres, similarity=similarity, keep=keep).all()
    expected = plainly(rows, centres, missing, similarity, keep)
    names = [name for table in run.docs().tables for name in table["id"].to_pylist()]
    assert run.column("semantic_duplicate_of") == [None if j is None else names[j] for j, _ in expected]
    assert run.column("semantic_similarity") == [cosine for _, cosine in expected]
    assert [i for i, (j, _) in enumerate(expected) if j is None] == run.kept()
    assert 20 < len(run.kept()) < 390
    (figure,) = run.node.figures(LocalContext(run, "rows", "all"))
    check(figure)
    assert sum(gone for *_, gone in figure["rows"]) == 400 - len(run.kept())


def test_shards_groups_and_batches_change_nothing(tmp_path, monkeypatch):
    rows, centres = vectors(2, 300)
    found = []
    for i, (shards, members, batch, block) in enumerate([(1, 10**6, 300, 512), (5, 70, 11, 3)]):
        monkeypatch.setattr(semantic_pairs, "GROUP_MEMBERS", members)
        monkeypatch.setattr(semantic_pairs, "BLOCK", block)
        folder = tmp_path / str(i)
        folder.mkdir()
        run = RunWithModel(documents(rows, set(), shards), folder, centres, batch, similarity=0.9).all(seed=i)
        assert len(run.results["pairs"]) == (1, 5)[i]
        found.append((run.kept(), run.column("semantic_similarity"), run.values()))
    assert found[0] == found[1]


def test_documents_without_vectors_stay(tmp_path):
    rows, centres = vectors(3, 10)
    run = RunWithModel(documents(rows, set(range(10)), 2), tmp_path, centres, action="flag").all()
    assert run.kept() == list(range(10))
    assert run.results["members"]["00000000-000"].counts == {"documents": 5, "members": 0, "without": 5}


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(RecipeError, match="no column 'vector'"):
        SemanticDedup(docs=corpus(["x"]), model=Centres()).check()
