"""One graph of every shape of node, from files to figures, against a loop over the lines; and reading it back."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from corpus import bytes_of, times_of, whole
from nodes import Lines, Strip, Tally

from pipeline.driver.execute import Options, run
from pipeline.errors import DataError, UserError
from pipeline.files.objects import LocalStore, sha256_of
from pipeline.graph import build
from pipeline.run import open_run


def expected(paths: tuple[str, ...]) -> list[dict]:
    """What the graph of `corpus.whole` makes of every line, by hand."""
    rows, first = [], {}
    for path in sorted(Path(paths[0]).iterdir()):
        digest = sha256_of(path)[:12]
        for number, line in enumerate(path.read_text().splitlines()):
            row = {"id": f"{digest}:{number}", "text": line, "removed": None, "of": None}
            rows.append(row)
            if len(line) < 4:
                row["removed"] = ("long", "long.short", len(line), 4)
                continue
            row["text"] = "".join(c for c in line if not c.isdigit())
            if not row["text"]:
                row["removed"] = ("strip", "strip.empty", None, None)
                continue
            share = sum(c in "aeiou" for c in row["text"]) / len(row["text"])
            if not 0.1 <= share <= 0.77:
                few = share < 0.1
                row["removed"] = ("vowels", f"vowels.{'few' if few else 'many'}", share, 0.1 if few else 0.77)
                continue
            of = first.setdefault(row["text"], row["id"])
            if of != row["id"]:
                row["removed"], row["of"] = ("twins", "twins.copy", None, None), of
    return rows


def test_every_line_ends_as_a_loop_says(finished):
    rows = expected(finished.paths)
    run = finished.open()
    kept = run["common"].rows(["id", "text"]).to_pylist()
    assert kept == [{"id": r["id"], "text": r["text"]} for r in rows if not r["removed"]]
    removed = {r["id"]: r for r in run["common"].removed().to_pylist()}
    assert len({reason[1] for r in rows if (reason := r["removed"])}) == 5, "the corpus shows every reason"
    for row in rows:
        if row["removed"] is None:
            assert row["id"] not in removed
            continue
        node, reason, value, threshold = row["removed"]
        found = removed.pop(row["id"])
        assert (found["node"], found["reason"], found["duplicate_of"]) == (node, reason, row["of"])
        assert found["value"] == (None if value is None else pytest.approx(value, rel=1e-6))
        assert found["threshold"] == (None if threshold is None else pytest.approx(threshold))
    assert removed == {}


def test_own_removals_and_counts_agree(finished):
    run = finished.open()
    for label in ("long", "strip", "vowels", "twins"):
        view = run[label]
        phase = view.manifest["row_phase"]
        reasons = Counter(view.removed(own=True)["reason"].to_pylist())
        counts = {k.removeprefix("removed."): v for k, v in view.counts[phase].items() if k.startswith("removed.")}
        assert counts == reasons
        assert view.counts[phase]["alive_out"] == len(view.rows(["id"]))


def test_a_task_sees_the_rows_alive_and_the_text_as_changed(finished):
    run = finished.open()
    words = Counter(w for r in expected(finished.paths) if not r["removed"] for w in r["text"].split())
    for label in ("tally", "count"):
        assert json.loads(run[label].path("tally", "all", ".json").read_text()) == dict(sorted(words.items()))


def test_why_tells_a_documents_way(finished):
    run = finished.open()
    for row in expected(finished.paths)[::17]:
        steps = {step["node"]: step for step in run.why(row["id"])}
        assert list(steps) == ["docs", "long", "strip", "vowels", "twins", "common"]
        gone = row["removed"][0] if row["removed"] else None
        states = [steps[label]["state"] for label in list(steps)[1:]]
        before = list(steps)[1:].index(gone) if gone else 5
        assert states == ["kept"] * before + ["removed"] * bool(gone) + ["gone"] * (4 - before)
        if gone:
            assert steps[gone]["reason"] == row["removed"][1]
            if gone == "twins":
                assert steps["twins"]["columns"]["duplicate_of"] == row["of"]


def test_an_unknown_document_node_or_run_is_named(finished):
    run = finished.open()
    with pytest.raises(UserError, match="no document 'x:1'"):
        run.why("x:1")
    with pytest.raises(UserError, match="no node 'twin'; expected one of docs, long"):
        run["twin"]
    with pytest.raises(UserError, match="no run called 'other'; expected one of whole"):
        open_run(str(finished.store), "other")
    with pytest.raises(DataError, match="no column 'absent'; expected some of _row, chars"):
        run["common"].rows(["absent"])


def test_figures_count_what_was_measured(finished):
    figure = finished.open()["long"].figures[0]
    lengths = [len(line) for path in Path(finished.paths[0]).iterdir() for line in path.read_text().splitlines()]
    assert (figure["kind"], figure["edges"]) == ("histogram", [0, 5, 10, 15, 20, 25, 30, 35, 40])
    assert figure["counts"] == [
        sum(low <= n < low + 5 or n == low + 5 == 40 for n in lengths) for low in range(0, 40, 5)
    ]


def test_receipts_vouch_for_every_file_and_manifests_for_every_receipt(finished):
    run = finished.open()
    known = set()
    for view in run.nodes:
        for phase, keys in view.manifest["phases"].items():
            for key in keys:
                for file, entry in view.receipt(phase, key).files.items():
                    path = finished.store / view.folder / "data" / phase / file
                    assert (path.stat().st_size, sha256_of(path)) == (entry["size"], entry["sha256"])
                    assert view.manifest["files"][phase][file] == entry["size"]
                    known.add(path)
    assert known == {path for path in finished.store.glob("nodes/*/data/**/*") if path.is_file()}
    assert not list(finished.store.glob("temporary/*"))
    assert not list(finished.store.glob("nodes/*/lease/*"))


def test_a_text_that_changes_twice_is_the_last_of_both(finished, tmp_path):
    """In one pass, where the text is handed on, and in a later one, where it is read back."""
    docs = Lines(paths=finished.paths)
    once = Strip(docs=docs, what="[0-9]")
    twice = Strip(docs=once, what="moon ?")
    inside = run(build([Tally(docs=twice)]), name="inside", store=str(tmp_path / "inside"), options=Options(here=True))
    later_store = str(tmp_path / "later")
    run(build([once]), name="once", store=later_store, options=Options(here=True))
    run(build([twice]), name="twice", store=later_store, options=Options(here=True))
    later = run(build([Tally(docs=twice)]), name="later", store=later_store, options=Options(here=True))
    lines = [line for path in sorted(Path(finished.paths[0]).iterdir()) for line in path.read_text().splitlines()]
    without = [re.sub("moon ?", "", re.sub("[0-9]", "", line)) for line in lines]
    for found in (inside, later):
        assert found[twice].rows(["text"])["text"].to_pylist() == [text for text in without if text]
        words = json.loads(found["tally"].path("tally", "all", ".json").read_text())
        assert words == dict(sorted(Counter(" ".join(without).split()).items()))
    assert bytes_of(tmp_path / "inside") == bytes_of(tmp_path / "later")


def test_the_same_command_again_touches_nothing(copy):
    before = times_of(copy.store)
    assert {entry.action for entry in copy.plan().values()} == {"reuse"}
    assert copy.run().name == "whole"
    assert times_of(copy.store) == before


def test_a_copied_and_touched_input_costs_digests_only(copy, tmp_path):
    shutil.copytree(copy.paths[0], tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere" / "part-00.txt", ns=(1, 1))
    before = times_of(copy.store)
    run(whole((str(tmp_path / "elsewhere"),)), name="whole", store=str(copy.store), options=Options(here=True))
    assert times_of(copy.store) == before
    assert len(list((copy.store / "sources").iterdir())) == 2


def test_a_part_of_a_graph_joins_the_run(copy):
    graph = copy.graph()
    labels = {label: node for node, label in graph.names.items()}
    again = run(build([labels["twins"]], labels), name="whole", store=str(copy.store), options=Options(here=True))
    assert again.name == "whole"
    assert [view.label for view in again.nodes][-1] == "count"
    assert again[labels["twins"]].label == "twins"


def test_a_driver_asks_its_store_once_for_what_has_not_changed(finished, tmp_path, monkeypatch):
    """In a bucket every question is a request: at the start, when a node is taken, and when it is finished."""
    read, asked = LocalStore.read, Counter()

    def counted(self, name):
        asked[name] += name.endswith("/manifest.json")
        return read(self, name)

    monkeypatch.setattr(LocalStore, "read", counted)
    type(finished)(tmp_path / "store", finished.paths).run(docs={"pause": 0.5}, twins={"pause": 0.5})
    asked = {name: count for name, count in asked.items() if count}
    assert len(asked) == 8
    assert max(asked.values()) <= 4, asked
