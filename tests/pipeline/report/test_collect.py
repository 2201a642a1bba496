"""The page's data against a real run: counts, inputs, examples with the text the node saw, times and actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_nodes import Letters, SameBeginning

from pipeline.driver import execute
from pipeline.files.open_store import open_store
from pipeline.graph import build
from pipeline.progress.recorder import Recorder
from pipeline.report import numbers
from pipeline.report.collect import collect
from pipeline.report.page import render
from pipeline.run import StoredRun
from stages.clean.gopher_quality import GopherQuality
from stages.read.read import Read

PROSE = (
    "When the {0} came home in the evening, the whole house was talking of the {0} and of what it had been doing "
    "with the {1} that they had bought for the children, who were not to be seen in the garden."
)
THINGS = ("horse", "clock", "letter", "carriage", "dog", "piano", "lamp", "garden", "boat", "kettle")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> StoredRun:
    folder: Path = tmp_path_factory.mktemp("run")
    texts = [PROSE.format(one, other) for one in THINGS for other in THINGS[:3]]
    texts += ["Too short.", "Short too."]
    lines = [json.dumps({"text": text}) for text in texts] + ["{not json"]
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    docs = Read(paths=[str(folder / "a.jsonl")])
    plain = GopherQuality(docs=docs, min_words=20)
    graph = build([Letters(docs=SameBeginning(docs=plain))], {"docs": docs, "plain": plain})
    for _ in range(2):  # the second finds everything done
        recorder = Recorder(open_store(str(folder / "store")), "tiny")
        done = execute.run(
            graph,
            name="tiny",
            store=str(folder / "store"),
            watcher=recorder,
            options=execute.Options(here=True),
            recipe="name: tiny\n",
        )
        recorder.close()
    return done


def test_counts_inputs_and_reasons_are_those_of_the_run(run: StoredRun) -> None:
    data = collect(run)
    docs, plain, same, letters = data.nodes
    assert [(node.label, node.total, node.kept) for node in data.nodes[:3]] == [
        ("docs", 33, 32), ("plain", 32, 30), ("same_beginning", 30, 10),
    ]  # fmt: skip
    assert same.inputs == ("plain",)
    assert [(reason.name, reason.documents) for reason in docs.reasons] == [("rejected.bad_json", 1)]
    assert [(reason.name, reason.documents) for reason in plain.reasons] == [("gopher_quality.min_words", 2)]
    assert ("min_words", "20") in plain.config
    assert not [name for name, _ in plain.config if name == "docs"]
    assert {node.action for node in data.nodes} == {"run"}  # of the driver that did something
    assert all(node.seconds is not None and node.seconds >= 0 for node in data.nodes)
    end, counted = data.funnel[-1], numbers.count(data.funnel[-1].became)
    assert data.headline == f"Of 32 documents 10 were kept (31.2\u00a0%), {counted} letters."
    assert [highlight.label for highlight in data.highlights] == ["documents kept", "letters", "copies", "nodes"]
    assert [step.documents for step in data.funnel] == [32, 30, 10, 10]
    assert (end.label, end.unit, letters.result) == ("letters", "letters", f"1 sheets, {counted} letters")
    assert 1000 < end.became < end.text_bytes
    assert data.funnel[0].text_bytes > data.funnel[1].text_bytes > 0
    assert data.recipe == "name: tiny\n"
    words = next(figure for figure in plain.figures if figure["x"] == "gopher_words")
    assert (sum(words["counts"]), sum(words["removed"])) == (32, 2)
    assert [(mark["label"], mark["x"]) for mark in words["marks"]] == [("min_words", 20), ("max_words", 100_000)]
    alpha = next(figure for figure in plain.figures if figure["x"] == "gopher_alpha_words")
    assert (sum(alpha["counts"]), sum(alpha["removed"])) == (32, 2)  # whatever the reason was


def test_examples_hold_the_removed_text_and_the_one_that_stayed(run: StoredRun) -> None:
    data = collect(run)
    removed = {row["id"]: row for row in run["same_beginning"].removed().to_pylist()}
    alive = dict(zip(*run["same_beginning"].rows(["id", "text"]).to_pydict().values(), strict=True))
    short, copies = data.nodes[1].reasons[0].examples, data.nodes[2].reasons[0].examples
    assert {example.text for example in short} == {"Too short.", "Short too."}
    assert {example.value for example in short} == {2.0}
    assert len(copies) == 3
    for example in copies:
        assert example.kept_id == removed[example.id]["duplicate_of"]
        assert example.kept_text == alive[example.kept_id]
        assert example.text.split()[:4] == example.kept_text.split()[:4]
        assert example.text != example.kept_text


def test_the_run_writes_its_page(run: StoredRun) -> None:
    html = render(collect(run))
    assert "same_<wbr>beginning.<wbr>copy" in html
    assert "<del>" in html
    assert '<th scope="col">letters</th></tr>' in html


def test_a_node_that_is_not_finished_is_shown_so(run: StoredRun) -> None:
    for label in ("same_beginning", "letters"):
        run.store.delete(f"{run[label].folder}/manifest.json")
    half = collect(StoredRun(run.store, run.name))
    assert half.nodes[2].result == "not finished"
    assert half.headline == "Not finished: same_beginning, letters."


def test_the_funnel_counts_the_documents_of_every_source_though_a_node_sees_one(tmp_path) -> None:
    for name, texts in (("a", THINGS), ("b", ["Too short.", *THINGS[:4]])):
        lines = [json.dumps({"text": PROSE.format(text, name) if " " not in text else text}) for text in texts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    a, b = (Read(paths=[str(tmp_path / f"{name}.jsonl")]) for name in "ab")
    plain = GopherQuality(docs=b, min_words=20)
    graph = build([SameBeginning(docs=(a, plain))], {"a": a, "b": b, "plain": plain})
    done = execute.run(graph, name="two", store=str(tmp_path / "store"), options=execute.Options(here=True))
    assert [(step.label, step.documents) for step in collect(done).funnel] == [
        ("a + b", 15), ("plain", 14), ("same_beginning", 14),  # it compares inside a shard
    ]  # fmt: skip
