"""`why` over the finished demo: all that was removed, each reason from the command line, and what training saw."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import siftloom

from pipeline.recipe import load
from siftloom.ask.why import trace
from siftloom.demo.run import recipe_path
from siftloom.vocabulary import vocabulary

pytestmark = pytest.mark.timeout(600)
CHAIN = ["docs", "english", "plain", "clean", "distinct", "unique", "once", "scored", "good"]
TRAINED = ("dense", "lost", "lost_reweighted")  # on `rows`; the fourth is trained on `unfiltered`
Demo = tuple[Any, dict[str, Any]]
Step = dict[str, Any]


def removal(steps: list[Step]) -> Step:
    (found,) = [step for step in steps if step["state"] == "removed"]
    return found


def grams(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}


def broken(rule: str, value: float, limit: float) -> bool:
    """Whether a value breaks a `min_...` or `max_...` rule, in the columns' own precision."""
    a, b = np.float32(value), np.float32(limit)
    return bool(a < b if rule.startswith("min_") else a > b)


def check_gopher(step: Step, node: Any) -> None:
    """The rule is broken by the value of its own column, and those before it in the set are not."""
    from stages.clean import gopher_quality, gopher_repetition

    name = step["reason"].partition(".")[2]
    for rule in {"gopher_quality": gopher_quality, "gopher_repetition": gopher_repetition}[step["kind"]].RULES:
        value, limit = step["columns"][rule.column], getattr(node, rule.field)
        if rule.field == name:
            assert (step["value"], step["threshold"]) == (value, limit)
            assert broken(name, value, limit)
            return
        assert value is None or limit is None or not broken(rule.field, value, limit)
    raise AssertionError(f"no rule {name}")


def check_language(step: Step, node: Any) -> None:
    lang, share = step["columns"]["lang"], step["columns"]["lang_p"]
    assert (step["value"], step["threshold"]) == (share, node.min_probability)
    if step["reason"] == "language.other":
        assert lang not in node.keep
    else:
        assert (step["reason"], lang in node.keep) == ("language.unsure", True)
        assert share < node.min_probability


def check_copy(step: Step, node: Any, text: str, other: str, kept: str) -> None:
    """The kept document is named, and their texts, read again, are as alike as the reason says."""
    columns, reason = step["columns"], step["reason"]
    if reason == "exact_dedup.copy":
        assert columns["exact_duplicate_of"] == other
        assert (step["value"], step["threshold"]) == (columns["exact_copies"], None)
        assert step["value"] >= 2
        assert text == kept
        return
    assert columns["duplicate_of"] == other
    assert (step["value"], step["threshold"]) == (columns["est_jaccard"], node.min_jaccard)
    assert step["value"] >= node.min_jaccard
    if reason == "minhash_dedup.exact":
        assert step["value"] == 1
        assert re.findall(r"\w+", text.lower()) == re.findall(r"\w+", kept.lower())
    else:
        assert reason == "minhash_dedup.near"
        jaccard = len(grams(text) & grams(kept)) / len(grams(text) | grams(kept))
        assert abs(step["value"] - jaccard) < 0.2  # over four standard errors of 112 places


@pytest.mark.long
def test_why_of_every_removed_document_is_what_the_record_says_and_holds(demo: Demo) -> None:
    run, _ = demo
    nodes: Any = load(recipe_path(), vocabulary()).nodes
    records = run["good"].removed().to_pylist()
    texts = {row["id"]: row["text"] for row in run["docs"].rows(["id", "text"]).to_pylist()}
    assert sorted([row["id"] for row in records] + run["good"].rows(["id"])["id"].to_pylist()) == sorted(texts)
    for label in CHAIN[1:]:
        counts = run[label].counts["rows"]
        told = Counter(f"removed.{row['reason']}" for row in records if row["node"] == label)
        assert {name: count for name, count in counts.items() if name.startswith("removed.") and count} == told
        own = run[label].removed(own=True).to_pylist()
        assert own == [row for row in records if row["node"] == label]
    left = {label: set(run[label].rows(["id"])["id"].to_pylist()) for label in ("distinct", "unique")}
    for row in records:
        steps = run.why(row["id"])
        at = CHAIN.index(row["node"])
        assert [step["node"] for step in steps] == CHAIN
        states = ["read", *["kept"] * (at - 1), "removed", *["gone"] * (len(CHAIN) - at - 1)]
        assert [step["state"] for step in steps] == states
        step, node = steps[at], nodes[row["node"]]
        assert {key: step[key] for key in ("reason", "value", "threshold")} == {
            key: row[key] for key in ("reason", "value", "threshold")
        }
        assert step["kind"] == step["reason"].partition(".")[0] == type(node).kind()
        other = row["duplicate_of"]
        if step["kind"].endswith("_dedup"):
            assert other in left[row["node"]]
            check_copy(step, node, texts[row["id"]], other, texts[other])
        elif step["kind"] == "language":
            check_language(step, node)
        elif step["kind"] == "select":
            assert step["reason"] == "select.low"
            assert step["value"] == steps[CHAIN.index("scored")]["columns"]["quality"] <= step["threshold"]
        else:
            check_gopher(step, node)


@pytest.mark.long
def test_the_command_says_why_for_every_reason(demo: Demo, tmp_path: Path) -> None:
    run, _ = demo
    records: dict[tuple[str, str], Step] = {}
    for row in run["good"].removed().to_pylist():
        records.setdefault((row["node"], row["reason"]), row)
    assert len(records) >= 12
    assert {node for node, _ in records} == {"english", "plain", "clean", "distinct", "unique", "good"}

    def ask(row: Step, *more: str) -> str:
        return siftloom("why", run.name, row["id"], "--store", run.store.root, *more, cwd=tmp_path).stdout

    plain = [ask(row) for row in records.values()]
    whole = [json.loads(ask(row, "--json")) for row in records.values()]
    for row, page, told in zip(records.values(), plain, whole, strict=True):
        assert told == {"id": row["id"], "steps": json.loads(json.dumps(trace(run, row["id"])))}
        step = removal(told["steps"])
        assert {key: step[key] for key in ("node", "reason", "value", "threshold")} == {
            key: row[key] for key in ("node", "reason", "value", "threshold")
        }
        (line,) = [line for line in page.splitlines() if re.search(r" removed +", line)]
        assert line.split()[:3] == [row["node"], step["kind"], "removed"]
        said = re.search(rf"removed +{re.escape(row['reason'])}: ([\d.e-]+)(?: against ([\d.e-]+))?(?:,|\s*$)", line)
        assert said, line
        assert float(said[1]) == pytest.approx(row["value"], rel=1e-3)
        assert (said[2] and float(said[2])) == (row["threshold"] and pytest.approx(row["threshold"], rel=1e-3))
        assert row["duplicate_of"] is None or f"duplicate_of {row['duplicate_of']}" in line


def packed_texts(run: Any) -> list[str]:
    """What stands in each packed row of `rows`, decoded from the tokens that training reads."""
    from tokenizers import Tokenizer

    meta = run["rows"].path("meta", "all", ".json")
    facts = json.loads(meta.read_text())
    assert facts["draw"] is None
    tokenizer = Tokenizer.from_file(str(meta.parent / "all" / "tokenizer.json"))
    files = [run["rows"].path("pack", shard["name"], ".bin") for shard in facts["shards"]]
    rows = np.concatenate([np.fromfile(file, facts["dtype"]).reshape(-1, facts["length"] + 1) for file in files])
    return tokenizer.decode_batch(rows.tolist(), skip_special_tokens=True)


def test_a_kept_document_names_its_rows_and_the_steps_that_saw_them(demo: Demo, tmp_path: Path) -> None:
    """Rows against the packed tokens, steps against the batches that training wrote down."""
    import pyarrow.parquet as pq

    run, _ = demo
    texts = packed_texts(run)
    batches = {
        label: pq.read_table(run[label].path("train", "all", "/steps.parquet"), columns=["step", "rows"]).to_pylist()
        for label in TRAINED
    }
    assert batches["dense"] == batches["lost"] == batches["lost_reweighted"]
    trained = {row for batch in batches["dense"] for row in batch["rows"]}
    documents = run["good"].rows(["id", "text", "held_out"]).to_pylist()
    document, holding = next(
        (document, rows)
        for document in documents
        if not document["held_out"] and len(document["text"]) > 300
        for rows in [[n for n, text in enumerate(texts) if document["text"] in text]]
        if trained & set(rows)
    )
    told = siftloom("why", run.name, document["id"], "--store", run.store.root, "--json", cwd=tmp_path).stdout
    steps = {step["node"]: step for step in json.loads(told)["steps"]}
    assert steps["once"]["columns"] == {"held_out": False}
    assert {steps[label]["state"] for label in CHAIN[1:]} == {"kept"}
    assert (steps["model"]["state"], steps["tokenizer"]["state"]) == ("given", "given")
    assert (steps["rows"]["state"], steps["rows"]["rows"]) == ("packed", holding)
    seen = [batch["step"] for batch in batches["dense"] if set(batch["rows"]) & set(holding)]
    for label in TRAINED:
        assert (steps[label]["state"], steps[label]["steps"]) == ("seen", seen)
    page = siftloom("why", run.name, document["id"], "--store", run.store.root, cwd=tmp_path).stdout
    for words_ in (
        r"once +split +kept +held_out False",
        rf"rows +pack +packed +rows {', '.join(map(str, holding))}",
        rf"lost +pretrain +seen +steps {', '.join(map(str, seen))}",
    ):
        assert re.search(rf"^{words_}\s*$", page, re.MULTILINE), page


def test_a_held_out_document_was_given_to_nothing_that_learns(demo: Demo, tmp_path: Path) -> None:
    run, _ = demo
    document = next(r for r in run["good"].rows(["id", "text", "held_out"]).to_pylist() if r["held_out"])
    assert not [text for text in packed_texts(run) if document["text"][:100] in text]
    told = siftloom("why", run.name, document["id"], "--store", run.store.root, "--json", cwd=tmp_path).stdout
    steps = {step["node"]: step for step in json.loads(told)["steps"]}
    assert steps["once"]["columns"] == {"held_out": True}
    assert {steps[label]["state"] for label in CHAIN[1:]} == {"kept"}
    assert {steps[label]["state"] for label in ("model", "tokenizer")} == {"not given"}
    for label in ("rows", "unfiltered"):
        assert (steps[label]["state"], steps[label]["rows"]) == ("not packed", [])
    for label in (*TRAINED, "dense_unfiltered"):
        assert (steps[label]["state"], steps[label]["steps"]) == ("not seen", [])
    page = siftloom("why", run.name, document["id"], "--store", run.store.root, cwd=tmp_path).stdout
    assert re.search(r"^once +split +kept +held_out True\s*$", page, re.MULTILINE)
