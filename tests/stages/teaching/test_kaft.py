"""Samples of a context: what each kind holds, from real files, and what is never made."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest
from run_here import Here

from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.teaching.answers import mentions, normalised
from stages.teaching.exact_match import ExactMatch
from stages.teaching.kaft import Kaft

KEEP = ("question:string", "context:string", "answer:string", "type:string", "hard:bool")
TOWNS, RIVERS = ("Lyon", "Porto", "New York", "Bergen"), ("the Rhone", "Douro", "Hudson", "Neva")


def facts() -> list[dict]:
    rows = []
    for number in range(200):
        kind, answers = [("town", TOWNS), ("river", RIVERS)][number % 2]
        answer = answers[number // 2 % 4]
        rows.append({
            "id": f"q{number}", "question": f"Which {kind} is number {number}?", "answer": answer, "type": kind,
            "context": f"Number {number} is {answer}. They say that {answer.upper()} is old.", "hard": number % 3 == 0,
            "text": f" {'Porto' if number % 5 else answers[(number // 2 + 1) % 4]}\n",  # what the model says by itself
        })  # fmt: skip
    rows[7]["context"] = "Nothing is said of it here."
    return rows


@pytest.fixture(scope="module")
def docs(tmp_path_factory) -> Read:
    folder = tmp_path_factory.mktemp("facts")
    for half in range(2):
        (folder / f"{half}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in facts()[half::2]))
    return Read(paths=(f"{folder}/*.jsonl",), keep=KEEP)


def made(node: Kaft, root) -> list[dict]:
    here = Here(node, root)
    paths = sorted(root.glob(f"{here.state.folder(node)}/data/shards/*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_each_kind_holds_what_it_says(docs, tmp_path):
    rows = {row["question"]: row for row in facts()}
    samples = made(Kaft(docs=docs, type_="type", carry=("hard",)), tmp_path / "store")
    seen = defaultdict(list)
    for sample in samples:
        context, _, question = sample["prompt"].rstrip("\n").rpartition("\n")
        row = rows[question]
        own, answer, text = row["text"].strip(), row["answer"], sample["text"]
        seen[sample["kind"]].append(question)
        assert sample["hard"] == row["hard"]
        assert sample["own"] == row["text"]
        if sample["kind"] == "relevant":
            assert (context, text) == (row["context"], answer)
        elif sample["kind"] == "counterfactual":
            assert normalised(text) != normalised(answer)
            assert text in (TOWNS if row["type"] == "town" else RIVERS)
            assert not mentions(answer).search(context)  # at every mention, in any case
            assert context.count(text) == 2
        elif sample["kind"] == "irrelevant":
            assert text == own
            assert context in {other["context"] for other in rows.values()} - {row["context"]}
            assert not mentions(answer).search(context)
            assert not mentions(own).search(context)
        else:
            assert (context, text) == ("", own)
    counts = Counter({kind: len(questions) for kind, questions in seen.items()})
    assert counts["relevant"] == counts["counterfactual"] == 199  # one context does not answer
    assert counts["irrelevant"] == 200
    assert 70 < counts["empty"] < 130  # one of two
    assert all(len(set(questions)) == len(questions) for questions in seen.values())


def test_shares_take_kinds_away_and_the_rest_stays_as_it_was(docs, tmp_path):
    whole = made(Kaft(docs=docs, type_="type"), tmp_path / "store")
    less = made(Kaft(docs=docs, type_="type", irrelevant=0.0, empty=0.0), tmp_path / "store")
    kept = [(row["prompt"], row["text"]) for row in whole if row["kind"] in ("relevant", "counterfactual")]
    assert [(row["prompt"], row["text"]) for row in less] == kept


def test_a_match_forgives_case_articles_and_points_alone(docs, tmp_path):
    samples = Kaft(docs=docs, type_="type", relevant=0, counterfactual=0, empty=0, carry=("answer",))
    matched = Here(ExactMatch(docs=samples, expected="answer"), tmp_path / "store").columns()["exact"].to_pylist()
    expected = [normalised(row["text"]) == normalised(row["answer"]) for row in made(samples, tmp_path / "store")]
    assert matched == expected
    assert 0 < sum(matched) < len(matched)
    assert normalised("The  Rhone.") == normalised("rhone")
    assert normalised("Rhone river") != normalised("Rhone")


def test_what_is_not_there_is_named(docs):
    for node, words in (
        (Kaft(docs=docs, context="passage"), "kaft.context: 'passage' of type none"),
        (Kaft(docs=docs, template="{question}"), "kaft.template"),
        (Kaft(docs=docs, carry=("kind",)), "kaft.carry: 'kind'"),
        (ExactMatch(docs=docs, expected="hard"), "'hard' of type bool"),
    ):
        with pytest.raises(RecipeError, match=words):
            node.check()
