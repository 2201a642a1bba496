"""Loss scores through the engine: proxies that never saw what they score, sums over overlapping windows, weights that
reach the rows of a training.
"""

import dataclasses
import json
import os
import random
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models.files import load
from models.presets import Llama
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import plan
from pipeline.driver.prepare import digest_sources
from pipeline.errors import RecipeError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from siftloom import Pipeline
from siftloom import stages as s
from stages.documents import LOG_PRIOR
from stages.tokens.encoder import Encoder
from stages.training.stream import RowStream
from tests.models.calls import losses

TINY = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
WORDS = "tide moon harbour salt rope lantern gull anchor mist kelp oar rhythm of and the".split()
LENGTH = 32


def documents(folder, seed=0, each=40):
    draw = random.Random(seed)
    folder.mkdir()
    for name in ("a", "b"):
        with open(folder / f"{name}.jsonl", "w") as file:
            for number in range(each):
                text = " ".join(draw.choices(WORDS, k=draw.choice([3, 20, 120])))
                file.write(json.dumps({"text": text, "source": "sea" if number % 3 else "land"}) + "\n")
    return f"{folder}/*.jsonl"


def nodes(paths):
    docs = s.Split(docs=s.Read(paths=(paths,)), held_out=0.1)
    halves = s.Halves(docs=docs)
    tokenizer = s.Tokenizer(docs=docs, vocab_size=320)
    shared = {"model": Llama("1m", **TINY), "steps": 3, "batch_rows": 4}
    rows = [s.Pack(docs=halves, tokenizer=tokenizer, length=LENGTH, half=half) for half in (0, 1)]
    proxies = tuple(s.Pretrain(rows=of_half, **shared) for of_half in rows)
    scored = s.ScoreLoss(docs=halves, proxies=proxies, batch_rows=7, actors=(2, 2))
    again = s.ScoreLoss(docs=scored, proxies=proxies[::-1], batch_rows=3, actors=(1, 1), as_="again")
    weighted = s.LossWeights(docs=again)
    packed = s.Pack(docs=weighted, tokenizer=tokenizer, length=LENGTH, carry=(LOG_PRIOR, "ref_loss"))
    return {
        "docs": docs, "halves": halves, "tokenizer": tokenizer, "rows": rows[0], "others": rows[1],
        "first": proxies[0], "second": proxies[1], "scored": scored, "again": again, "weighted": weighted,
        "packed": packed,
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(nodes by name, the run, name -> folder of a node's data)"""
    folder = tmp_path_factory.mktemp("run")
    named = nodes(documents(folder / "input"))
    run = Pipeline([named["packed"]], name="scores", store=str(folder / "store"), names=named)
    done = run.run(here=True, progress=False)
    found = json.loads(next((folder / "store/runs").glob("*/run.json")).read_text())["nodes"]
    places = {name: folder / "store" / found[name]["folder"] / "data" for name in named}
    return named, done, places


@pytest.mark.long
def test_no_document_is_scored_by_a_model_that_was_trained_on_it(made):
    named, run, places = made
    table = run[named["scored"]].rows(["id", "half", "ref_proxy", "held_out"])
    proxies = {places[name].parent.name: rows for name, rows in (("first", "rows"), ("second", "others"))}
    seen = {}
    for proxy, rows in proxies.items():
        seen[proxy] = set()
        for path in (places[rows] / "pack").glob("*.parquet"):
            packed = pq.read_table(path)
            prefix = packed.schema.metadata[b"shard"].decode()[:12]
            seen[proxy] |= {f"{prefix}:{row}" for row in packed["doc_row"].combine_chunks().flatten().to_pylist()}
    assert all(len(names) > 20 for names in seen.values())
    for row in table.to_pylist():
        assert row["ref_proxy"] in seen
        assert row["id"] not in seen[row["ref_proxy"]]
        assert row["held_out"] or any(row["id"] in names for names in seen.values())


@pytest.mark.long
def test_a_score_is_the_sum_over_windows_of_the_document_alone(made):
    named, run, places = made
    table = run[named["again"]].rows(["text", "half", "ref_loss", "ref_loss_sum", "ref_tokens"]).to_pylist()
    model = {
        1 - half: load(places[name] / "train/all/model.safetensors") for half, name in enumerate(("first", "second"))
    }
    encoder = Encoder.load(places["first"] / "train/all/tokenizer.json")
    long = 0
    for row in [*table[:10], *table[70:]]:
        ids = [0, *encoder.encode([row["text"]])[0].tolist()]
        nats = 0.0
        for start in range(0, max(1, len(ids) - 1 - LENGTH // 2), LENGTH // 2):
            part = torch.tensor([ids[start : start + LENGTH + 1]])
            loss = losses(model[row["half"]], part[:, :-1], part[:, 1:]).detach().flatten()
            nats += float(loss[LENGTH // 2 if start else 0 :].double().sum())
        long += len(ids) > LENGTH + 1
        assert row["ref_tokens"] == len(ids) - 1
        assert row["ref_loss_sum"] == pytest.approx(nats, rel=1e-5)
        assert row["ref_loss"] == pytest.approx(nats / (len(ids) - 1), rel=1e-5)
    assert 3 < long < 20


@pytest.mark.long
def test_a_score_does_not_depend_on_batch_padding_and_number_of_workers(made):
    named, run, _ = made
    table = run[named["again"]].rows(["ref_loss_sum", "again_loss_sum", "ref_tokens", "again_tokens", "ref_proxy",
                                      "again_proxy"])  # fmt: skip
    np.testing.assert_allclose(table["ref_loss_sum"].to_numpy(), table["again_loss_sum"].to_numpy(), rtol=1e-5)
    assert table["ref_tokens"].equals(table["again_tokens"])
    assert table["ref_proxy"].equals(table["again_proxy"])


@pytest.mark.long
def test_weights_reach_the_rows_as_the_mean_over_their_tokens(made):
    _, _, places = made
    for path in sorted((places["packed"] / "pack").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            mean = np.average(np.exp(row["doc_log_prior"]), weights=row["doc_tokens"])
            assert row[LOG_PRIOR] == pytest.approx(np.log(mean), rel=1e-9, abs=1e-12)


@pytest.mark.long
def test_a_proxy_that_was_trained_on_what_it_scores_is_named(made):
    named, _, _ = made
    halves, rows, tokenizer = named["halves"], named["rows"], named["tokenizer"]
    shared = {"model": Llama("1m", **TINY), "steps": 3, "batch_rows": 4}
    whole = s.Pretrain(rows=s.Pack(docs=named["docs"], tokenizer=tokenizer, length=LENGTH), **shared)
    started = dataclasses.replace(named["first"], start=whole)
    # the same half of other halves
    other = s.Pack(docs=s.Halves(docs=named["docs"], seed=9), tokenizer=tokenizer, length=LENGTH, half=1)
    for proxies, message in [
        ((whole,), "trained on the documents which it would score"),
        ((named["first"],), "one model, trained on half 0"),
        ((named["first"], named["first"]), "trained on half 0 and half 0"),
        ((started, named["second"]), "trained on the documents which it would score"),
        ((named["first"], s.Pretrain(rows=other, **shared)), "half 1 of other halves"),
        ((s.Export(model=whole),), "trained on the documents which it would score"),
        ((s.Pretrain(rows={rows: 0.5, named["others"]: 0.5}, **shared),), "trained on both halves"),
    ]:
        with pytest.raises(RecipeError, match=message):
            build([s.ScoreLoss(docs=halves, proxies=proxies)])
    with pytest.raises(RecipeError, match=r"^ScoreLoss\.proxies: a tokenizer node"):
        s.ScoreLoss(docs=halves, proxies=tokenizer)
    # documents that were made of others lie on a base of their own, and are still the same documents
    with pytest.raises(RecipeError, match="trained on the documents"):
        build([s.ScoreLoss(docs=s.Compact(docs=named["docs"]), proxies=whole)])
    foreign = s.Split(docs=s.Read(paths=("other.jsonl",)), held_out=0.1)
    s.ScoreLoss(docs=foreign, proxies=whole).check()
    with pytest.raises(RecipeError, match=r"pack\.half"):
        s.Pack(docs=named["docs"], tokenizer=tokenizer, half=0).check()


def spelled(folder, way):
    """The files of a folder, named in another way."""
    other = folder.parent / way
    if way == "a folder":
        return (str(folder),)
    if way == "one of its files":
        return (f"{folder}/b.jsonl",)
    if way == "another glob":
        return (f"{folder.parent}/./{folder.name}/[ab].jsonl",)
    if way == "a link":
        other.symlink_to(folder)
    elif way == "linked files":
        other.mkdir()
        for path in folder.iterdir():
            os.link(path, other / f"of-{path.name}")
    else:
        shutil.copytree(folder, other)
    return (f"{other}/*",)


@pytest.mark.parametrize(
    ("way", "by_digest"),
    [("a folder", False), ("one of its files", False), ("another glob", False), ("a link", False),
     ("linked files", True), ("a copy", True)],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True])
def test_a_proxy_that_was_trained_on_the_same_files_in_another_spelling_is_named(tmp_path, way, by_digest, streamed):
    pattern = documents(tmp_path / "in")
    docs, same = s.Read(paths=(pattern,)), s.Read(paths=spelled(tmp_path / "in", way), keep=("url",))
    tokenizer = s.Tokenizer(docs=docs, vocab_size=320)
    shared = {"model": Llama("1m", **TINY), "steps": 3, "batch_rows": 4}
    if streamed:
        proxy = s.Pretrain(rows=same, feed=RowStream(length=LENGTH), tokenizer=tokenizer, **shared)
    else:
        proxy = s.Pretrain(rows=s.Pack(docs=same, tokenizer=tokenizer, length=LENGTH), **shared)
    graph = build([s.ScoreLoss(docs=s.Split(docs=docs, held_out=0.1), proxies=proxy)])
    store = tmp_path / "store"
    if by_digest:  # nobody knows yet that the bytes are the same; a run digests them before it plans
        plan(graph, str(store))
        digest_sources(Ledger(graph, LocalStore(str(store))), lambda: None)
    with pytest.raises(RecipeError, match=r"score_loss\.proxies\[0\].*trained on the documents which it would score"):
        plan(graph, str(store))


def test_a_proxy_of_a_stream_over_the_documents_is_an_error_of_the_recipe():
    docs = s.Read(paths=("a.jsonl",))
    proxy = s.Pretrain(
        rows=docs, feed=RowStream(length=LENGTH), tokenizer=s.Tokenizer(docs=docs, vocab_size=320),
        model=Llama("1m", **TINY),
    )  # fmt: skip
    with pytest.raises(RecipeError, match="trained on the documents which it would score"):
        build([s.ScoreLoss(docs=docs, proxies=proxy)])


@pytest.mark.long
def test_a_score_does_not_depend_on_what_was_scored_before(made, tmp_path):
    """Its last bits hang on the documents that share its batch, so it is copied with its whole batch or not at all."""
    named, _, places = made
    pattern = documents(tmp_path / "in", seed=1, each=400)  # one in a hundred has another last bit

    def scores(store, least):
        kept = s.GopherQuality(docs=s.Read(paths=(pattern,)), min_words=least, min_stop_words=None)
        scored = s.ScoreLoss(docs=kept, proxies=named["first"], batch_rows=7)
        found = Pipeline([scored], name="again", store=str(store), names=named).run(here=True, progress=False)
        return found[scored].rows(["id", "ref_loss_sum", "ref_loss"])

    store = places["first"].parents[2]
    before = scores(store, 2)
    after = scores(store, 10)
    shutil.copytree(store, tmp_path / "fresh", ignore=shutil.ignore_patterns("score_loss-*", "again*"))
    assert 400 < len(after) < len(before)
    assert after.equals(scores(tmp_path / "fresh", 10))
