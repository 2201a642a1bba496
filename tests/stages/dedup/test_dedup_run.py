"""The dedup nodes through the engine: chained in one graph, reused after a change, the same bytes for any workers."""

import hashlib
import json
import random
import shutil

import pytest

from pipeline.errors import NodeFailed
from siftloom import Pipeline
from siftloom import stages as s
from stages.dedup.corpus import _folders
from tests.stages.dedup.planted import document, edited
from tests.stages.local_context import LocalContext

PHASES = ("keys", "merge", "edges", "components")


def lines(seed: int, count: int) -> list[dict]:
    chance = random.Random(seed)
    found = []
    for i in range(count):
        words = document(chance, 60)
        found.append({"text": " ".join(words) + "\nAll rights reserved.", "url": f"http://www.a.org/{seed}/{i}"})
        if i % 3 == 0:
            found.append({"text": " ".join(edited(words, chance, 2)) + "\nAll rights reserved.", "url": None})
        if i % 7 == 0:
            found.append({**found[-1], "url": f"https://a.org/{seed}/{i}/#top"})
    chance.shuffle(found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    for name, seed, count in (("old", 1, 150), ("new", 2, 60)):
        rows = lines(seed, count)
        if name == "new":
            rows += [{"text": row["text"].upper(), "url": None} for row in lines(1, 150)[:40]]
        for part in range(3):
            text = "".join(json.dumps(row) + "\n" for row in rows[part::3])
            (folder / f"{name}-{part}.jsonl").write_text(text)
    secret = lines(1, 150)[3]["text"].split()
    (folder / "evals.jsonl").write_text(json.dumps({"q": " ".join(secret[10:30])}) + "\n")
    return folder


def graph(folder, min_jaccard=0.6, keep="first"):
    def read(name):
        return s.Read(paths=(f"{folder}/{name}-*.jsonl",), keep=("url",))

    old = s.MinHashDedup(docs=s.UrlDedup(docs=read("old"), keep="longest"))
    once = s.ExactDedup(docs=read("new"))
    new = s.MinHashDedup(docs=once, against=(old,), min_jaccard=min_jaccard, keep=keep)
    plain = s.LineDedup(docs=new, keep="none")
    clean = s.Decontaminate(docs=plain, evals=(f"{folder}/evals.jsonl",), action="drop")
    return {"old": old, "once": once, "new": new, "plain": plain, "clean": clean}


def run(nodes, store, **how):
    pipeline = Pipeline([nodes["clean"]], name="dedup", store=str(store), names=nodes)
    return pipeline.run(progress=False, **(how or {"here": True}))


@pytest.fixture(scope="module")
def first(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return run(graph(folder), store), store


def files(store, phases=None) -> dict[str, str]:
    """Name -> SHA-256 of every data file."""
    found = {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.glob("nodes/*/data/*/*"))
        if phases is None or path.parent.name in phases
    }
    assert found
    return found


def test_documents_go_for_the_reasons_of_each_node(first):
    found, _ = first
    old, new = (found[name].removed().to_pylist() for name in ("old", "new"))
    assert {row["reason"] for row in old} == {"url_dedup.copy", "minhash_dedup.near", "minhash_dedup.exact"}
    assert {row["reason"] for row in new} == {"exact_dedup.copy", "minhash_dedup.near", "minhash_dedup.exact"}
    old_ids = set(found["old"].rows(["id"])["id"].to_pylist())
    taken = [row for row in new if row["duplicate_of"] in old_ids]
    assert len(taken) >= 25
    assert all(row["threshold"] == 0.6 and row["value"] >= 0.6 for row in new if row["node"] == "new")
    texts = found["clean"].rows(["text"])["text"].to_pylist()
    assert not any("rights reserved" in text for text in texts)


@pytest.mark.long
def test_workers_change_no_byte(local_ray, first, folder, tmp_path):
    _, store = first
    for cpus in (1, 3):
        run(graph(folder), tmp_path / str(cpus), cpus=cpus)
        assert files(tmp_path / str(cpus)) == files(store)


@pytest.mark.parametrize("change", [{"min_jaccard": 0.8}, {"keep": "longest"}])
def test_a_changed_judgement_reuses_the_keys(first, folder, change):
    """The files of the key phases are linked, not written again: no kernel call."""
    _, store = first
    before = {path.stat().st_ino for path in store.glob("nodes/minhash_dedup-*/data/*/*") if path.parent.name in PHASES}
    assert len(before) > 10
    known = set(store.glob("nodes/minhash_dedup-*"))
    run(graph(folder, **change), store)
    (fresh,) = set(store.glob("nodes/minhash_dedup-*")) - known
    linked = [path for path in fresh.glob("data/*/*") if path.parent.name in PHASES]
    assert len(linked) > 10
    assert {path.stat().st_ino for path in linked} <= before


def test_a_changed_judgement_equals_a_run_from_nothing(first, folder, tmp_path):
    _, store = first
    run(graph(folder, min_jaccard=0.7), store)
    run(graph(folder, min_jaccard=0.7), tmp_path / "afresh")
    assert files(tmp_path / "afresh").items() <= files(store).items()


def test_against_a_folder_equals_against_the_node(first, folder, tmp_path):
    found, store = first
    (old,) = [path for path in store.glob("nodes/minhash_dedup-*") if path.name.endswith(found["old"].fingerprint[:12])]
    once = s.ExactDedup(docs=s.Read(paths=(f"{folder}/new-*.jsonl",), keep=("url",)))
    new = s.MinHashDedup(docs=once, against_folders=(str(old),))
    other = Pipeline([new], name="new", store=str(tmp_path)).run(here=True, progress=False)[new]
    here = found["new"]
    for table in ("duplicate_of", "reason", "value"):
        assert other.removed()[table].to_pylist() == [
            row[table] for row in here.removed().to_pylist() if row["id"] in set(other.removed()["id"].to_pylist())
        ]
    assert other.rows(["id"]) == here.rows(["id"])


def test_against_a_folder_of_a_dry_run_equals_against_the_node(first, folder, tmp_path):
    """Nothing of it is gone, so all of its documents count."""
    _, store = first
    before = graph(folder)["old"]
    old = s.MinHashDedup(docs=before.docs, dry_run=True)
    docs = s.Read(paths=(f"{folder}/new-*.jsonl",), keep=("url",))
    here, real = s.MinHashDedup(docs=docs, against=(old,)), s.MinHashDedup(docs=docs, against=(before,))
    found = Pipeline([here, real], name="dry", store=str(store), names={"old": old}).run(here=True, progress=False)
    there = s.MinHashDedup(docs=docs, against_folders=(f"{store}/{found['old'].folder}",))
    other = Pipeline([there], name="there", store=str(tmp_path)).run(here=True, progress=False)[there].removed()
    assert other["duplicate_of"] == found[here].removed()["duplicate_of"]
    assert other["duplicate_of"] != found[real].removed()["duplicate_of"]


def test_what_folders_are_called_does_not_decide_which_documents_win(first, tmp_path):
    """The name of a folder is no part of the identity, and the first of the earlier documents win a tie."""
    found, store = first
    orders = []
    for names in (("a", "b"), ("b", "a")):
        place = tmp_path / "".join(names)
        for name, node in zip(names, ("old", "new"), strict=True):
            shutil.copytree(store / found[node].folder, place / name)
        node = s.MinHashDedup(docs=s.Read(paths=("demo://corpus",)), against_folders=(str(place),))
        ctx = LocalContext(node, place, files={"against_folders": sorted(place.glob("*/manifest.json"))})
        orders.append([part.shard.name for part in _folders(ctx)])
    assert orders[0] == orders[1]
    assert len(orders[0]) == 6


def test_the_guard_holds_after_the_dry_run_that_it_advises(tmp_path):
    """The verdict of the dry run must not stand in for that of the node which removes."""
    (tmp_path / "same.jsonl").write_text('{"text": "the same six words in all"}\n' * 200)

    def run(**fields):
        node = s.MinHashDedup(docs=s.Read(paths=(f"{tmp_path}/same.jsonl",)), **fields)
        return Pipeline([node], name="guard", store=f"{tmp_path}/store").run(here=True, progress=False)[node]

    for _ in range(2):
        with pytest.raises(NodeFailed, match=r"199 of 200 documents.*dry_run: true"):
            run()
        assert len(run(dry_run=True).removed()) == 0
    assert len(run(max_removed_fraction=1.0).removed()) == 199


def test_a_folder_made_otherwise_is_refused(first, folder, tmp_path):
    found, store = first
    (old,) = [path for path in store.glob("nodes/minhash_dedup-*") if path.name.endswith(found["old"].fingerprint[:12])]
    docs = s.Read(paths=(f"{folder}/new-*.jsonl",))
    node = s.MinHashDedup(docs=docs, ngram=4, against_folders=(str(old),))
    with pytest.raises(NodeFailed, match="made with ngram = 5"):
        Pipeline([node], name="x", store=str(tmp_path)).run(here=True, progress=False)
