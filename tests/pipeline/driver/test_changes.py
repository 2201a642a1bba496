"""What a change costs: exactly the nodes that it can move, and of those only what is not known already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from corpus import times_of, write_corpus
from nodes import Lines, Long, Vowels

from pipeline.driver.execute import Options, run
from pipeline.errors import DriftError
from pipeline.graph import build
from pipeline.progress.watcher import Started
from stages.lines.line_dedup import LineDedup

BELOW = {
    "long": ["long", "strip", "vowels", "twins", "tally", "common", "count"],
    "vowels": ["vowels", "twins", "tally", "common", "count"],
    "twins": ["twins", "tally", "common", "count"],
    "common": ["common", "count"],
    "count": ["count"],
}


@pytest.mark.parametrize(
    ("label", "field", "old", "new"),
    [
        ("long", "min_chars", 4, 6),  # a threshold
        ("vowels", "letters", '"aeiou"', '"aeiouy"'),
        ("twins", "keep_last", "false", "true"),
        ("common", "best", 20, 5),
        ("count", "place", '"task"', '"driver"'),
    ],
)
def test_the_plan_names_the_field_and_what_stands_on_it(finished, label, field, old, new):
    value = {"true": True}.get(new, new.strip('"') if isinstance(new, str) else new)
    entries = finished.plan(**{label: {field: value}})
    todo = [name for name, entry in entries.items() if entry.action != "reuse"]
    assert todo == BELOW[label]
    assert entries[label].action == "run"
    assert entries[label].why == f"{field}: {old} -> {new}"
    parents = {"tally": "twins", "count": "common"}
    for name in todo[1:]:
        assert entries[name].why.endswith("changed"), entries[name].why
        assert parents.get(name, "") in entries[name].why


@pytest.mark.parametrize("field", [{"pause": 0.5}, {"marks": "/elsewhere"}])
def test_a_runtime_field_changes_nothing(finished, field):
    assert {entry.action for entry in finished.plan(long=field).values()} == {"reuse"}


def test_a_changed_threshold_calls_no_scorer(copy, marks):
    folder, count = marks
    run = copy.run(long={"min_chars": 9, "marks": folder})
    assert count() == 0
    assert run.name == "whole@2", "another recipe is another run"
    lengths = run["long"].rows(["id", "chars"])["chars"].to_pylist()
    assert min(lengths) >= 9
    reasons = run["long"].removed(own=True)
    assert set(reasons["threshold"].to_pylist()) == {9.0}


def test_a_phase_may_decline_the_scores_that_there_are(copy, marks):
    folder, count = marks
    copy.run(long={"min_chars": 9, "marks": folder, "reuse": False})
    assert count() == sum(-(-rows // 50) for rows in [120] * 4), "every batch of every shard is scored again"


def test_copied_scores_are_the_bytes_that_a_fresh_run_makes(copy, tmp_path, marks):
    changed = {"long": {"min_chars": 9}, "vowels": {"least": 0.2}}
    copy.run(**changed)
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(**changed)
    assert fresh.bytes().items() <= copy.bytes().items()


def test_scores_of_a_text_that_other_documents_decide_are_not_taken_over(tmp_path):
    """What `line_dedup` leaves of a document hangs on the others that are alive, and on its thresholds."""
    paths = tmp_path / "pages.txt"
    paths.write_text("aaaa bcd\nbcd bcd xyz\nfew\naaaa bcd\n")

    def shares(store: str, **fields: Any) -> list[float]:
        kept = LineDedup(docs=Long(docs=Lines(paths=(str(paths),)), min_chars=1), **fields)
        graph = build([Vowels(docs=kept, least=0.0, most=1.0)])
        found = run(graph, name="pages", store=str(tmp_path / store), options=Options(here=True))
        return found["vowels"].rows(["id", "vowels"])["vowels"].to_pylist()

    shares("store", keep="none")
    assert shares("store", keep="first") == shares("fresh", keep="first")


def test_only_rows_that_were_never_scored_are_scored(finished, tmp_path, marks):
    folder, count = marks
    store = type(finished)(tmp_path / "store", finished.paths)
    strict = store.run(name="strict", long={"min_chars": 12})
    loose = store.run(name="loose", long={"min_chars": 6, "marks": folder})
    assert count() == 0  # `long` sees every row of the base, and all of them are known
    # `vowels` had seen only what the first `long` let through; the rest is computed, and both are right.
    rows = loose["vowels"].rows(["text", "vowels"]).to_pylist()
    assert len(rows) > len(strict["vowels"].rows(["id"])) > 0
    for row in rows:
        share = sum(c in "aeiou" for c in row["text"]) / len(row["text"])
        assert row["vowels"] == pytest.approx(share, rel=1e-6)


def test_a_phase_whose_fields_are_the_same_is_linked(copy, marks):
    folder, count = marks
    run = copy.run(twins={"keep_last": True, "marks": folder})
    assert count() == 0
    twins = [path for path in (copy.store / "nodes").iterdir() if path.name.startswith("twins-")]
    files = [{p.name: p.stat().st_ino for p in (path / "data" / "keys").iterdir()} for path in twins]
    assert len(files) == 2
    assert files[0] == files[1]
    # ... and the phases behind it are this node's own: the last copy stays now.
    assert len(set(run["twins"].rows(["text"])["text"].to_pylist())) == len(run["twins"].rows(["id"]))
    assert run["twins"].rows(["id"])["id"].to_pylist() != copy.open("whole@1")["twins"].rows(["id"])["id"].to_pylist()


def test_a_phase_with_another_declared_field_is_not_linked(copy, marks):
    folder, count = marks
    copy.run(twins={"ranges": 2, "marks": folder})
    assert count() == 4


def test_linked_bytes_are_those_of_a_fresh_run(copy, tmp_path):
    copy.run(twins={"keep_last": True})
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(twins={"keep_last": True})
    assert fresh.bytes().items() <= copy.bytes().items()


def test_scores_and_phases_of_other_code_are_not_taken_over(copy, marks):
    folder, count = marks
    for label in ("long", "twins"):
        path = copy.store / copy.open()[label].folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "0" * 16}))
    copy.run(long={"min_chars": 9, "marks": folder})
    scored = count()
    assert scored >= 4
    copy.run(twins={"keep_last": True, "marks": folder})
    assert count() == scored + 4


@pytest.mark.long
@pytest.mark.parametrize("damage", ["manifest", "receipt", "gone", "cut", "altered"])
@pytest.mark.parametrize(
    ("label", "phase", "changed"), [("long", "rows", {"min_chars": 9}), ("twins", "keys", {"keep_last": True})]
)
def test_what_is_damaged_in_another_run_is_not_taken_over_and_stops_nothing(
    copy, tmp_path, label, phase, changed, damage
):
    view = copy.open()[label]
    key = view.keys(phase)[1]
    path = view.path(phase, key, ".parquet")
    content = path.read_bytes()
    if damage == "manifest":
        (copy.store / view.folder / "manifest.json").write_text("{")
    elif damage == "receipt":
        (copy.store / view.folder / "receipts" / phase / f"{key}.json").write_text("{")
    elif damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-7])
    elif label == "twins":
        pytest.skip("linked as it is, under its digest, which `verify` compares")
    else:
        table = pq.read_table(path)
        other = pc.add(table["chars"], 1).cast("int32")
        pq.write_table(table.set_column(table.column_names.index("chars"), "chars", other), path)
    copy.run(name="other", **{label: changed})
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(name="other", **{label: changed})
    assert fresh.bytes().items() <= copy.bytes().items()


def test_a_phase_that_has_read_other_bytes_is_not_linked(copy, marks):
    """Its input was made anew since, by a node that cannot promise the same bytes again."""
    folder, count = marks
    for label, phase in (("vowels", "rows"), ("strip", "rows")):
        view = copy.open()[label]
        path = copy.store / view.folder / "receipts" / phase / f"{view.keys(phase)[2]}.json"
        form = json.loads(path.read_text())
        path.write_text(json.dumps(form | {"facts": form["facts"] | {"made": "anew"}}))
    copy.run(name="other", twins={"keep_last": True, "marks": folder})
    assert count() == 1


def test_the_reason_is_kept_when_a_changed_recipe_is_run(copy):
    """The label of the run is taken before the plan is made, and is no run to compare with."""
    whys = {}

    class Watcher:
        def notify(self, event):
            if isinstance(event, Started):
                whys.update({entry.name: entry.why for entry in event.plan.entries})

    graph = copy.graph(vowels={"least": 0.2})
    found = run(graph, name="whole", store=str(copy.store), options=Options(here=True), watcher=Watcher())
    assert found.name == "whole@2"
    assert whys["vowels"] == "least: 0.1 -> 0.2"
    assert whys["twins"] == "vowels changed"


def test_another_line_in_one_file_does_the_others_again_but_knows_why(copy, tmp_path):
    paths = write_corpus(tmp_path / "in")
    (tmp_path / "in" / "part-03.txt").write_text("a new line of text\n")
    entries = type(copy)(copy.store, paths).plan()
    assert entries["docs"].action == "run"
    assert entries["docs"].why == "not run yet"


def test_a_comment_in_the_code_is_a_notice_and_a_half_done_node_is_not_resumed(copy, monkeypatch):
    assert not any(entry.notices for entry in copy.plan().values())
    read = Path.read_bytes
    edited = lambda path: read(path) + (b"\n# another comment\n" if path.name == "nodes.py" else b"")  # noqa: E731
    monkeypatch.setattr(Path, "read_bytes", edited)
    try:
        entries = copy.plan()
        assert {entry.action for entry in entries.values()} == {"reuse"}
        assert all("its code has changed since it ran" in entry.notices[0] for entry in entries.values())
        before = times_of(copy.store)
        copy.run()
        assert times_of(copy.store) == before
        folder = copy.open()["twins"].folder
        (copy.store / folder / "manifest.json").unlink()
        with pytest.raises(DriftError, match="twins: a half-done node: its code has changed since it began"):
            copy.run()
    finally:
        monkeypatch.undo()
    copy.run()
    assert times_of(copy.store) == before
