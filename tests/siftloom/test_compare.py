"""`whatif` and `diff` against real runs with the changed field, and `runs`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Small


@pytest.fixture
def copied(small: Small, tmp_path: Path) -> Small:
    """A copy of the finished run, for tests that add runs to its store."""
    shutil.copytree(small.folder, tmp_path / "copy")
    return Small(tmp_path / "copy")


def manifest(store: Path, run: str, node: str) -> dict:
    record = json.loads((store / "runs" / run / "run.json").read_text())
    return json.loads((store / record["nodes"][node]["folder"] / "manifest.json").read_text())


@pytest.mark.long
def test_whatif_counts_what_a_run_with_the_changed_threshold_counts(
    copied: Small, second: Small, tmp_path: Path
) -> None:
    changes = [
        ("plain", "min_words=60"),
        ("plain", "max_mean_word=4.2"),
        ("english", "keep=[de]"),
        ("plain", "min_words=3"),
    ]
    told = [copied.json("whatif", "small.yaml", node, change) for node, change in changes]
    assert not list((copied.folder / "kept").glob("nodes/gopher_quality-*/receipts/*/*.json.*"))
    shutil.copytree(second.folder, tmp_path / "runs")
    copied = Small(tmp_path / "runs")
    for number, ((node, change), found) in enumerate(zip(changes, told, strict=True), 2):
        if number > 2:  # `second` is the first of them
            copied("run", "small.yaml", node, "-s", f"{node}.{change}", "-s", f"{node}.allow_empty=true", "--here")
        counts = manifest(copied.folder / "kept", f"small@{number}", node)["counts"]["rows"]
        assert found["documents"] == counts["alive_in"]
        assert found["kept"]["documents"][1] == counts["alive_out"]
        gone = {name.removeprefix("removed."): n for name, n in counts.items() if name.startswith("removed.") and n}
        assert {reason: then for reason, (_, then) in found["reasons"].items() if then} == gone
        assert sum(then for _, then in (c["documents"] for c in found["by"]["source"].values())) == counts["alive_out"]
        sides = {name: side["documents"] for name, side in found["sides"].items()}
        assert (
            sides["kept then"] - sides["removed then"] == found["kept"]["documents"][1] - found["kept"]["documents"][0]
        )
    diff = copied.json("diff", "small@1", "small@2", "--store", "kept", "--node", "plain")
    assert (sum(e["documents"] for e in diff["gone"]), diff["new"]) == (
        told[0]["sides"]["removed then"]["documents"],
        [],
    )
    assert {(e["node"], e["reason"]) for e in diff["gone"]} == {("plain", "gopher_quality.min_words")}
    listed = copied("diff", "small", "small@2", "--store", "kept", "--node", "plain", "--json")  # as `runs` lists them
    assert json.loads(listed.stdout) == diff
    assert "small is its first run here, small@1" in listed.stderr
    text = copied("diff", "small@1", "small@2", "--store", "kept", "--node", "plain").stdout
    assert "small@2 removes them in plain, gopher_quality.min_words" in text
    assert "The carrier brought letter" in text


@pytest.mark.long
def test_whatif_of_a_selection_is_that_of_a_run(tmp_path: Path, copied: Small) -> None:
    recipe = (copied.folder / "small.yaml").read_text().replace("name: small", "name: chosen")
    recipe += "  chosen: {use: select, docs: once, by: gopher_mean_word, keep_fraction: 0.5}\n"
    (copied.folder / "chosen.yaml").write_text(recipe)
    copied("run", "chosen.yaml", "--here")
    found = copied.json("whatif", "chosen.yaml", "chosen", "keep_fraction=0.25")
    copied("run", "chosen.yaml", "-s", "chosen.keep_fraction=0.25", "--here")
    counts = manifest(copied.folder / "kept", "chosen@2", "chosen")["counts"]["rows"]
    assert found["kept"]["documents"][1] == counts["alive_out"] < found["kept"]["documents"][0]


@pytest.mark.long
def test_whatif_of_a_dedup_is_that_of_a_run(copied: Small) -> None:
    """It judges the stored clusters again; a node that edits texts says that it cannot."""
    recipe = (copied.folder / "small.yaml").read_text().replace("name: small", "name: near")
    recipe += "  near: {use: minhash_dedup, docs: once, ngram: 2}\n  lines: {use: line_dedup, docs: near}\n"
    (copied.folder / "near.yaml").write_text(recipe)
    copied("run", "near.yaml", "--here")
    before = {file for file in (copied.folder / "kept" / "nodes").rglob("*") if file.is_file()}
    found = copied.json("whatif", "near.yaml", "near", "min_jaccard=0.93")
    off = copied.json("whatif", "near.yaml", "distinct", "dry_run=true")
    assert "a node that reads texts" in copied("whatif", "near.yaml", "lines", "min_copies=3", code=1).stderr
    assert {file for file in (copied.folder / "kept" / "nodes").rglob("*") if file.is_file()} == before
    copied("run", "near.yaml", "near", "-s", "near.min_jaccard=0.93", "--here")
    counts = manifest(copied.folder / "kept", "near@2", "near")["counts"]["rows"]
    gone = {name.removeprefix("removed."): n for name, n in counts.items() if name.startswith("removed.") and n}
    assert {reason: then for reason, (_, then) in found["reasons"].items() if then} == gone
    now, then = found["kept"]["documents"]
    assert now < then == counts["alive_out"] < found["documents"]
    assert off["kept"]["documents"] == [off["documents"] - 2, off["documents"]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plain", "words=unicode"], "a field that changes the scores themselves; expected a threshold: "),
        (["plain", "min_word=3"], "did you mean 'min_words'?"),
        (["plain", "min_words=few"], "expected a whole number"),
        (["nodes", "x=1"], "no node 'nodes'"),
    ],
)
def test_whatif_says_what_it_cannot_answer(small: Small, words: list[str], says: str) -> None:
    done = small("whatif", "small.yaml", *words, code=None)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_shows_what_is_left(small: Small) -> None:
    from siftloom import open_run

    run = open_run(str(small.folder / "kept"), "small")
    assert repr(run).startswith("<Run 'small': 5 of 5 nodes are finished")
    assert "<tr><td>english</td><td>43</td>" in run._repr_html_()


@pytest.mark.long
def test_runs_are_listed_and_removed(copied: Small) -> None:
    copied("run", "small.yaml", "plain", "-s", "plain.min_words=25", "--here")
    told = {run["run"]: (run["finished"], run["nodes"]) for run in copied.json("runs", "--store", "kept")["runs"]}
    assert told == {"small": (5, 5), "small@2": (3, 3)}
    assert "5 of 5" in copied("runs", "--store", "kept").stdout
    copied("runs", "--store", "kept", "--remove", "small@2", code=1)  # nobody can answer
    copied("runs", "--store", "kept", "--remove", "small@2", "--yes")
    assert [run["run"] for run in copied.json("runs", "--store", "kept")["runs"]] == ["small"]
    removed = copied.json("clean", "--store", "kept", "--dry-run")["removed"]
    assert [entry["name"].partition("-")[0] for entry in removed] == ["nodes/gopher_quality"]
    for words in ("-s", "plain.min_words=26"), ("-s", "plain.min_words=27"):
        copied("run", "small.yaml", "plain", *words, "--here")
    copied("runs", "--store", "kept", "--remove", "small@2", "--yes")
    copied("run", "small.yaml", "plain", "-s", "plain.min_words=28", "--here")  # a name is not given twice
    names = [run["run"] for run in copied.json("runs", "--store", "kept")["runs"]]
    assert names == ["small", "small@3", "small@4"]
    done = copied("runs", "--store", "kept", "--remove", "none", "--yes", code=1)
    assert "no run called 'none'" in done.stderr
