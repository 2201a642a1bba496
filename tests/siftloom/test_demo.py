"""The demo: its judgement of planted faults against counting by hand, and the whole of it with few training steps."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from finished_demo import FEW, TRAININGS

from pipeline.errors import UserError
from siftloom.demo.truth import Removal, copies, planted_truth, score


def truth(**kinds: Any) -> dict[str, dict[str, Any]]:
    """name=kind, or name=(kind, original, similarity)."""
    return {
        name: {"kind": kind} if isinstance(kind, str) else {"kind": kind[0], "of": kind[1], "jaccard": kind[2]}
        for name, kind in kinds.items()
    }


def test_groups_of_copies_should_keep_one_of_those_that_reach_the_dedup() -> None:
    facts = truth(
        a="clean", a2=("exact", "a", 1.0), a3=("exact", "a", 1.0),
        b="clean", b2=("exact_normalised", "b", 1.0),
        c="clean", c2=("exact", "c", 1.0),
        d="clean",
    )  # fmt: skip
    kinds, reasons = ("exact", "exact_normalised"), ("exact_dedup.copy", "minhash_dedup.exact")
    exact, rule = Removal("distinct", "exact_dedup.copy"), Removal("clean", "gopher_repetition.max_top_2gram")
    # of {a, a2, a3} two should go, of {b, b2} one; c went by a rule, so c2 has no partner
    gone = {"a": exact, "a3": exact, "c": rule}
    assert copies(facts, gone, kinds, reasons) == {"recall": 2 / 3, "precision": 1.0}
    # a wrong removal costs precision; all of a group gone is no more than found
    gone |= {"a2": exact, "b": exact, "d": exact}
    assert copies(facts, gone, kinds, reasons) == {"recall": 1.0, "precision": 4 / 5}


def test_near_copies_are_told_by_similarity_too() -> None:
    facts = truth(
        a="clean", a2=("near", "a", 0.6), b="clean", b2=("near", "b", 0.699999), c="clean", c2=("near", "c", 1.0),
        d="clean", d2=("near", "d", 0.75),
    )  # fmt: skip
    near = Removal("unique", "minhash_dedup.near")
    found = copies(facts, {"a2": near, "c": near}, ("near",), ("minhash_dedup.near",))
    assert (found["recall"], found["precision"]) == (2 / 4, 1.0)
    assert found["bins"] == [
        {"jaccard": 0.6, "pairs": 2, "recall": 0.5},
        {"jaccard": 0.7, "pairs": 1, "recall": 0.0},
        {"jaccard": 0.8, "pairs": 0, "recall": None},
        {"jaccard": 0.9, "pairs": 1, "recall": 1.0},
    ]


def test_rules_are_right_about_whatever_is_no_prose() -> None:
    facts = truth(l="language", g="gibberish", r="repetition", n="listing", c="clean", c2="clean", o="boilerplate")
    gone = {
        "l": Removal("english", "language.other"), "n": Removal("clean", "gopher_repetition.max_dup_lines"),
        "r": Removal("plain", "gopher_quality.max_hashes"), "c": Removal("clean", "gopher_repetition.max_top_2gram"),
    }  # fmt: skip
    found = score(facts, gone)
    assert found["planted"]["language"] == {"recall": 1.0, "precision": 1.0}
    assert found["planted"]["gibberish"] == {"recall": 0.0, "precision": 1.0}
    assert found["planted"]["repetition"] == {"recall": 1.0, "precision": 0.5}
    assert found["clean_removed"] == 0.5
    assert (found["planted"]["boilerplate"], found["planted"]["leak"]) == (None, None)


def test_the_truth_names_every_document_of_the_corpus() -> None:
    facts = planted_truth()
    assert {"clean", "exact", "near", "language", "gibberish", "repetition", "boilerplate", "leak"} <= {
        fact["kind"] for fact in facts.values()
    }
    assert all(fact["of"] in facts for fact in facts.values() if fact["kind"] in ("near", "exact"))


@pytest.mark.timeout(600)
def test_the_demo_catches_what_is_planted(demo: tuple[Any, dict[str, Any]]) -> None:
    _, result = demo
    planted = result["planted"]
    assert planted["exact"] == {"recall": 1.0, "precision": 1.0}
    assert planted["near"]["bins"][-1]["recall"] >= 0.99
    assert planted["near"]["precision"] == 1.0
    for kind in ("language", "gibberish", "repetition"):
        assert planted[kind]["recall"] >= 0.95, kind
    assert result["clean_removed"] <= 0.02


@pytest.mark.timeout(600)
def test_the_demos_object(demo: tuple[Any, dict[str, Any]]) -> None:
    _, result = demo
    assert json.loads(json.dumps(result)) == result
    assert set(result) == {
        "seconds", "peak_memory", "planted", "clean_removed", "funnel", "models", "export", "report",
    }  # fmt: skip
    assert set(result["models"]) == set(TRAININGS)
    for model in result["models"].values():
        assert all(model[key] > 0 for key in ("parameters", "bytes", "val_bits_per_byte", "tokens_per_second"))
    assert result["models"]["lost"]["parameters"] < result["models"]["dense"]["parameters"]
    documents = [step["documents"] for step in result["funnel"]]
    assert documents == sorted(documents, reverse=True)
    assert documents[0] == 3103
    assert result["funnel"][-1]["tokens"] > 100_000
    assert Path(result["report"]).is_file()
    for folder in result["export"].values():
        assert (Path(folder) / "config.json").is_file()
    assert 2**28 < result["peak_memory"] < 2**33


@pytest.mark.timeout(600)
def test_the_page_says_it_all(demo: tuple[Any, dict[str, Any]]) -> None:
    from siftloom.demo.page import show

    run, result = demo
    page = io.StringIO()
    with redirect_stdout(page):
        show(run, result)
    text = page.getvalue()
    reasons = {row["reason"] for row in run["good"].removed().to_pylist()}
    for words in (*reasons, *TRAININGS, result["report"], *result["export"].values(), "siftloom why"):
        assert words in text


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_killed_demo_gives_the_same_bytes(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from siftloom.demo.broken import run_broken

    few = [change.replace("steps=4", "steps=12") for change in FEW]
    few += [f"{name}.checkpoint_every=2" for name in TRAININGS]
    code = run_broken(str(tmp_path / "store"), 2, True, io.StringIO(), few)
    result = json.loads(capsys.readouterr().out)
    assert code == 0, result["different"]
    assert [kill["where"] for kill in result["kills"]] == ["dedup", "training"]
    assert result["kills"][0]["receipts"] < result["kills"][1]["receipts"] < result["files"]


def test_a_folder_of_somebody_s_own_is_not_removed(tmp_path: Path) -> None:
    from siftloom.demo.broken import run_broken

    (tmp_path / "store-broken").mkdir()
    (tmp_path / "store-broken" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="store-broken: a folder that is no store"):
        run_broken(str(tmp_path / "store"), 1, True, io.StringIO())
    assert (tmp_path / "store-broken" / "notes.txt").read_text() == "mine"
