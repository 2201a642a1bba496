"""The parts of `siftloom ui` that are functions of values: a recipe's changed line, joined curves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from command_line import Small

from pipeline.recipe import parse
from siftloom.ask.scores import ScoredDocuments
from siftloom.run import open_run
from siftloom.ui.commands import changed_line
from siftloom.ui.models import joined
from siftloom.vocabulary import vocabulary


@pytest.mark.parametrize(
    ("line", "field", "value", "changed"),
    [
        ("plain: {use: gopher_quality, docs: docs, min_words: 20}", "min_words", "60",
         "plain: {use: gopher_quality, docs: docs, min_words: 60}"),
        ("plain: {use: gopher_quality, min_words: 20, docs: docs}", "min_words", "60",
         "plain: {use: gopher_quality, min_words: 60, docs: docs}"),
        ("plain: {use: gopher_quality, docs: docs}", "min_mean_word", "3.5",
         "plain: {use: gopher_quality, docs: docs, min_mean_word: 3.5}"),
        ("plain: {use: language, docs: docs, keep: [en, de], max_chars: 9}", "keep", '["fr"]',
         'plain: {use: language, docs: docs, keep: ["fr"], max_chars: 9}'),
        ("plain: {use: gopher_quality, docs: {use: read, paths: [a]}}", "min_words", "1",
         "plain: {use: gopher_quality, docs: {use: read, paths: [a]}, min_words: 1}"),
        ("plain: {use: gopher_quality, docs: {use: gopher_quality, docs: docs, min_words: 7}}", "min_words", "1",
         "plain: {use: gopher_quality, docs: {use: gopher_quality, docs: docs, min_words: 7}, min_words: 1}"),
        ("plain: {use: gopher_quality, docs: docs, max_words: 9}", "min_words", "1",
         "plain: {use: gopher_quality, docs: docs, max_words: 9, min_words: 1}"),
    ],
)  # fmt: skip
def test_the_changed_line_is_the_recipe_s_with_one_field_changed(line, field, value, changed) -> None:
    head = 'name: r\nstore: s\nnodes:\n  docs: {use: read, paths: ["a.jsonl"]}\n'
    assert changed_line(f"{head}  {line}\n", "plain", field, value) == changed
    node = parse(f"{head}  {changed}\n", vocabulary(), source="r").nodes["plain"]
    told = getattr(node, field)
    assert str(list(told) if isinstance(told, tuple) else told).replace("'", '"') == value


def test_a_node_without_a_line_of_its_own_gets_the_field_alone() -> None:
    assert changed_line("nodes:\n  plain:\n    use: gopher_quality\n", "plain", "min_words", "7") == "min_words: 7"


def curve(title: str, *names: str, **more) -> dict:
    series = [{"name": name, "points": [[1, 2.0], [2, 1.0]]} for name in names]
    return {"kind": "lines", "title": title, "x": "tokens", "y": "nats", "series": series, **more}


def test_curves_of_one_title_stand_in_one_chart_each_name_once() -> None:
    text = {"kind": "text", "title": "loss", "lines": ["a"]}
    found = joined([curve("loss", "dense", y_range=[1, 2]), text, curve("loss", "lost"), curve("loss", "dense", "lost"),
                    curve("norm", "dense", y_range=[1, 2])])  # fmt: skip
    assert [figure["kind"] for figure in found] == ["lines", "text", "lines"]
    assert [one["name"] for one in found[0]["series"]] == ["dense", "lost"]
    assert found[0]["y_range"] is None  # that of one model would cut the other's off
    assert found[2]["y_range"] == [1, 2]


def test_one_column_is_added_once_however_many_ask_at_once(small: Small) -> None:
    run = open_run(str(small.folder / "kept"), "small")
    for _ in range(5):
        scores, gate = ScoredDocuments(run, run["once"]), threading.Barrier(8)

        def ask(scores: ScoredDocuments = scores, gate: threading.Barrier = gate) -> int:
            gate.wait()
            return len(scores.columns(["gopher_words", "lang_p"]))

        with ThreadPoolExecutor(8) as pool:
            found = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
        assert found == [len(scores.row)] * 8
        assert len(set(scores.table.column_names)) == len(scores.table.column_names)
