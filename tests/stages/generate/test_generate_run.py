"""Vectors, clusters and verdicts through the engine: real Ray actors, a real model, a real server that misbehaves."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from server import serving
from small_models import folder_of

from pipeline.errors import NodeFailed, RecipeError
from siftloom import Pipeline
from siftloom import stages as s
from stages.generate.endpoint import Endpoint

KINDS = {"sea": "the boat and the tide and the harbour ", "law": "the judge read a clause of the contract "}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    for name in ("a", "b"):
        rows = [
            {"text": f"{KINDS[kind] * (2 + i % 3)}{name}{i}", "source": kind, "size": i}
            for i in range(20)
            for kind in [list(KINDS)[i % 2]]
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("model") / "folder")


def run(nodes, store, name="generate", targets=("end",)):
    return Pipeline([nodes[t] for t in targets], name=name, store=str(store), names=nodes).run(
        here=True, progress=False
    )


def clustered(sources, model, **fields):
    docs = s.Read(paths=(f"{sources}/*.jsonl",))
    vectors = s.Embed(docs=docs, model=s.ModelFolder(paths=(f"{model}/*",)), width=32, batch_rows=4)
    found = s.TrainClusters(docs=vectors, k=2, rounds=10)
    return {"docs": docs, "vectors": vectors, "found": found, "end": s.Cluster(docs=vectors, model=found, **fields)}


@pytest.fixture(scope="module")
def first(sources, model, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    nodes = clustered(sources, model)
    return nodes, run(nodes, store), store


def test_documents_of_two_kinds_are_two_clusters(first):
    nodes, found, _ = first
    rows = found[nodes["end"]].rows(["id", "source", "vector", "cluster", "cluster_distance"])
    vectors = np.stack(rows["vector"].to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    pairs = set(zip(rows["source"].to_pylist(), rows["cluster"].to_pylist(), strict=True))
    assert len(pairs) == 2
    assert len({cluster for _, cluster in pairs}) == 2
    (table, moved) = found[nodes["found"]].figures
    assert [row[1] for row in table["rows"]] == [20, 20]
    assert 2 <= len(moved["series"][0]["points"]) <= 10
    assert moved["series"][0]["points"][-1][1] <= 1e-4


def test_a_drop_list_removes_a_cluster_and_computes_no_distance_again(first, sources, model):
    nodes, found, store = first
    dropped = clustered(sources, model, drop=(1,))
    again = run(dropped, store)
    removed = again[dropped["end"]].removed(own=True)
    assert removed["reason"].unique().to_pylist() == ["cluster.dropped"]
    assert removed["value"].unique().to_pylist() == [1.0]
    assert len(removed) == 20
    kept = again[dropped["end"]].rows(["cluster_distance"])["cluster_distance"]
    before = found[nodes["end"]].rows(["cluster", "cluster_distance"])
    assert kept.to_pylist() == before.filter(pc.equal(before["cluster"], 0))["cluster_distance"].to_pylist()


def test_documents_that_say_the_same_are_one_and_a_limit_compares_no_vector_of_a_shard_again(first):
    nodes, _, store = first
    for limit in (0.999, 0.9):
        once = s.SemanticDedup(docs=nodes["vectors"], model=nodes["found"], similarity=limit)
        found = run(nodes | {"once": once}, store, "once", ("end", "once"))
        rows, removed = found["once"].rows(["id", "vector"]), found["once"].removed(own=True)
        assert len(rows) + len(removed) == 40
        assert len(removed) > 0
        assert set(removed["duplicate_of"].to_pylist()) <= set(rows["id"].to_pylist())
        assert min(removed["value"].to_pylist()) >= limit - 1e-6
        kept = np.stack(rows["vector"].to_numpy(zero_copy_only=False))
        clusters = dict(zip(*found["end"].rows(["id", "cluster"]).to_pydict().values(), strict=True))
        own = np.array([clusters[name] for name in rows["id"].to_pylist()])
        near = (kept @ kept.T >= limit + 1e-6) & (own[:, None] == own) & ~np.eye(len(kept), dtype=bool)
        assert not near.any()


def test_a_wrong_width_is_named_by_the_run(sources, model, tmp_path):
    nodes = clustered(sources, model)
    nodes["end"] = s.Embed(docs=nodes["docs"], model=nodes["vectors"].model, width=31)
    with pytest.raises(NodeFailed, match="vectors of 32 numbers; expected 31"):
        run(nodes, tmp_path)
    with pytest.raises(RecipeError, match="hidden_size"):
        s.Embed(docs=nodes["docs"], model=nodes["vectors"].model).check()


def verdict(asked) -> str:
    text = asked["messages"][-1]["content"]
    return f"Because of {len(text)} characters.\nScore: {5 if 'judge' in text else 1}"


def judged(sources, server, **fields):
    docs = s.Read(paths=(f"{sources}/a.jsonl",))
    endpoint = Endpoint(url=server.url, model="m", tries=3, timeout=5)
    return {"docs": docs, "end": s.Judge(docs=docs, model=endpoint, prompt="Rate: {text}", in_flight=4, **fields)}


def test_verdicts_come_from_the_endpoint_and_a_finished_judge_asks_nothing(sources, tmp_path):
    with serving(verdict) as server:
        server.mishaps += [429, 503]
        nodes = judged(sources, server, votes=2)
        found = run(nodes, tmp_path)
        rows = found[nodes["end"]].rows(["source", "judge", "judge_votes", "judge_answer", "judge_prompt"])
        marks = set(zip(rows["source"].to_pylist(), rows["judge"].to_pylist(), strict=True))
        assert marks == {("law", 5.0), ("sea", 1.0)}
        assert rows["judge_votes"].unique().to_pylist() == [2]
        assert rows["judge_answer"][0].as_py().startswith("Because")
        assert len(set(rows["judge_prompt"].to_pylist())) == 20
        asked = len(server.asked)
        run(judged(sources, server, votes=2), tmp_path)
        assert len(server.asked) == asked == 22


def test_an_answer_that_cannot_be_read_is_a_reason_with_its_text(sources, tmp_path):
    with serving(lambda asked: "no idea" if "judge" in asked["messages"][-1]["content"] else "Score: 2") as server:
        server.mishaps += ["garbage"]
        nodes = judged(sources, server, on_error="reason")
        removed = run(nodes, tmp_path)[nodes["end"]].removed(own=True)
        counts = {str(c["values"]): c["counts"].as_py() for c in pc.value_counts(removed["reason"].combine_chunks())}
        assert counts["judge.error.Unparsed"] + counts["judge.error.BadAnswer"] == len(removed)
        assert counts["judge.error.BadAnswer"] == 1
        with pytest.raises(NodeFailed, match="no idea"):
            run(judged(sources, server), tmp_path / "fail")


def test_a_budget_of_tokens_is_that_of_one_run_and_what_it_paid_for_is_kept(sources, tmp_path):
    with serving(verdict) as server:
        for spent in (1, 2):
            with pytest.raises(NodeFailed, match="`token_budget`"):
                # a question takes 21 tokens or a few more: the fourth reaches the budget, however many are in flight
                run(judged(sources, server, token_budget=79, commit_rows=4), tmp_path)
            assert len(server.asked) == 4 * spent, "every answer of the first run is kept"
        nodes = judged(sources, server, commit_rows=4)
        assert len(run(nodes, tmp_path)[nodes["end"]].rows(["judge"])) == 20 == len(server.asked)


def test_a_server_that_is_gone_fails_the_node_and_removes_nobody(sources, tmp_path):
    with serving() as server:
        nodes = judged(sources, server, on_error="reason")
    with pytest.raises(NodeFailed, match="no answer in 3 tries"):
        run(nodes, tmp_path)


def test_new_documents_name_their_parents_and_how_they_were_made(sources, model, tmp_path):
    docs = s.Read(paths=(f"{sources}/a.jsonl",))
    folder = s.ModelFolder(paths=(f"{model}/*",))
    made = s.Generate(docs=docs, model=folder, prompt="About: {text}", samples=2, max_tokens=6, max_chars=40, seed=5)
    nodes = {"docs": docs, "end": s.Split(docs=made, held_out=0.1), "made": made}
    found = run(nodes, tmp_path)
    rows = found[made].rows(["id", "text", "source", "parents", "sample", "model", "sampling", "finish"])
    parents = found[docs].rows(["id", "source"])
    assert 20 < len(rows) <= 40
    sources_of = dict(zip(parents["id"].to_pylist(), parents["source"].to_pylist(), strict=True))
    for row in rows.to_pylist():
        assert row["source"] == sources_of[row["parents"][0]]
        assert json.loads(row["sampling"])["seed"] == 5
        assert row["model"].startswith("model_folder ")
    assert len(set(rows["id"].to_pylist())) == len(rows)
    steps = found.why(rows["id"][0].as_py())
    assert [step["node"] for step in steps] == ["docs", "made", "end"]
    assert steps[0]["columns"]["id"] == steps[1]["columns"]["parents"][0]
    other = run(nodes, tmp_path / "again")
    assert other[made].rows(["id", "text"]).equals(found[made].rows(["id", "text"]))


def test_answers_carry_columns_and_say_how_many_beside_them_were_empty(sources, tmp_path):
    def answers(*texts: str) -> dict:
        choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in texts]
        return {"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 3}}

    docs = s.Read(paths=(f"{sources}/a.jsonl",), keep=("size:int64",))
    with serving() as server:
        server.mishaps += [answers("yes", "", "yes"), answers("", " ", "")] * 10
        model = Endpoint(url=server.url, model="m", tries=3, timeout=5)
        made = s.Generate(docs=docs, model=model, prompt="{text}", samples=3, carry=("size",), in_flight=1)
        rows = run({"end": made}, tmp_path)[made].rows(["text", "size", "empty", "parents"]).to_pylist()
    assert [row["text"] for row in rows] == ["yes"] * 20  # two of three for each of ten; the others have no child
    assert {row["empty"] for row in rows} == {1}
    assert [row["size"] for row in rows] == [size for size in range(0, 20, 2) for _ in range(2)]
    for carry, words in (("length",), "'length'"), (("text",), "'text'"), (("sample",), "'sample'"):
        with pytest.raises(RecipeError, match=f"generate.carry: {words}"):
            s.Generate(docs=docs, model=model, prompt="{text}", carry=carry).check()


def test_a_transformer_with_a_head_scores_as_it_does_by_itself(sources, model, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(0)
    judge = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2, id2label={0: "bad", 1: "good"})
    judge.config.pad_token_id = tokenizer.pad_token_id
    for part in (judge, tokenizer):
        part.save_pretrained(tmp_path / "head")
    docs = s.Read(paths=(f"{sources}/a.jsonl",))
    folder = s.ModelFolder(paths=(f"{tmp_path}/head/*",))
    nodes = {"docs": docs, "end": s.HfQuality(docs=docs, model=folder, label="good", batch_rows=3)}
    rows = run(nodes, tmp_path / "store")["end"].rows(["text", "quality"])
    for row in rows.to_pylist()[:5]:
        with torch.no_grad():
            logits = judge(**tokenizer(row["text"], return_tensors="pt")).logits[0]
        assert row["quality"] == pytest.approx(float(logits.softmax(-1)[1]), abs=1e-5)
    wrong = {"docs": docs, "end": s.HfQuality(docs=docs, model=folder, label="fine")}
    with pytest.raises(NodeFailed, match=r"'fine'; expected one of \['bad', 'good'\]"):
        run(wrong, tmp_path / "store")


def test_a_recipe_names_an_endpoint_where_a_node_may_stand_and_is_written_back(tmp_path):
    from pipeline.recipe import dump, load
    from siftloom.vocabulary import vocabulary

    text = """
name: judged
nodes:
  docs: {use: read, paths: [a.jsonl]}
  marks: {use: judge, docs: docs, model: {endpoint: {url: "http://127.0.0.1:1/v1", model: m}}}
  again: {use: judge, docs: docs, model: {use: model_folder, paths: [m]}, as: other}
"""
    (tmp_path / "r.yaml").write_text(text)
    nodes = load(tmp_path / "r.yaml", vocabulary()).nodes
    assert nodes["marks"].model == Endpoint(url="http://127.0.0.1:1/v1", model="m")
    assert nodes["again"].model.kind() == "model_folder"
    names = {nodes["docs"]: "docs", nodes["marks"]: "marks"}
    written = dump(list(names), names, vocabulary(), name="judged")
    assert "127.0.0.1:1" in written
