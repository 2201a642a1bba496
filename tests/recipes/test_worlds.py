"""The worlds made by rule: their files are what the rules make, and say of themselves what is true."""

import gzip
import json
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.graph import build
from pipeline.recipe import parse
from recipes.worlds import ciphers, coins, facts, grammar, last_words, tools
from siftloom.vocabulary import vocabulary
from stages.documents import columns_of
from stages.tools.call import grade

WORLDS = {
    "ciphers": ciphers.rows, "coins": coins.rows, "facts": facts.rows, "grammar": grammar.rows, "tools": tools.rows,
}  # fmt: skip


@pytest.mark.parametrize("name", WORLDS)
def test_a_file_is_what_its_rule_makes(name):
    data = (files("recipes") / "worlds" / f"{name}-00.jsonl.gz").read_bytes()
    assert [json.loads(line) for line in gzip.decompress(data).splitlines()] == list(WORLDS[name]())


def test_every_answer_of_the_coins_is_there_once():
    texts = [row["text"] for row in coins.rows()]
    assert len(texts) == len(set(texts)) == 2**coins.FLIPS
    assert len({row["asked"] for row in list(coins.rows())[: coins.PROMPTS]}) == coins.PROMPTS


def test_sentences_of_one_context_mean_eight_things_and_the_judge_errs_one_time_in_ten():
    by_context: dict[str, list[str]] = {}
    for row in grammar.rows():
        by_context.setdefault(row["context"], []).append(row["text"])
    assert len(by_context) == grammar.CONTEXTS
    assert all(len({grammar.meaning(text) for text in texts} - {None}) <= 8 for texts in by_context.values())
    pairs = [(one, other) for texts in by_context.values() for one in texts for other in texts]
    judged = grammar.entails([one for one, _ in pairs], [other for _, other in pairs]) >= 0.75
    right = [grammar.meaning(one) == grammar.meaning(other) for one, other in pairs]
    assert 0.09 < sum(said != true for said, true in zip(judged, right, strict=True)) / len(pairs) < 0.11
    assert grammar.meaning("3 boats bought the sailor") is None


def test_a_call_of_the_tools_is_right_of_itself_and_the_tested_requests_are_new():
    rows = list(tools.rows())
    assert all(grade(row["expected"], row["expected"]).reward == 1.0 for row in rows)
    assert {row["function"] for row in rows} == {*tools.FUNCTIONS, tools.NO_TOOL}
    of_level = {level: {row["asked"] for row in rows if row["level"] == level and row["kind"] == "call"}
                for level in ("easy", "hard", "test")}  # fmt: skip
    assert not of_level["test"] & (of_level["easy"] | of_level["hard"])
    table = pa.table({"id": ["a", "b", "c", "d"], "chosen_ids": [[1]] * 4, "rejected_ids": [[2]] * 4})
    turned = tools.turned(table)
    assert sorted(one + other for one, other in zip(*turned.values(), strict=True)) != [[1, 2]] * 4
    assert all(sorted(one + other) == [1, 2] for one, other in zip(*turned.values(), strict=True))


def test_a_page_is_asked_for_the_last_word_of_a_sentence_of_its_own():
    long = (
        "The index of a table is kept in a tree of pages. " * 3 + "A row is found by its key, and SQLite reads no more."
    )
    found = last_words.asked(pa.table({"text": [long, "Too short a page.", "No end " * 40]}))
    assert found["answer"] == [" pages", None, None]
    assert found["removed"] == [None, "no_sentence", "no_sentence"]
    assert (found["asked"][0] + found["answer"][0]) in long
    assert last_words.LEAST <= len(found["asked"][0]) <= last_words.MOST
    said = last_words.first_word(pa.table({"text": [" pages. It", "...", "\n42 rows"]}))
    assert said["text"] == ["pages", None, "rows"]


def test_the_pages_that_are_asked_about_in_a_domain_are_learned_by_no_arm():
    nodes = parse((Path(__file__).parents[2] / "recipes" / "domain.yaml").read_text(), vocabulary()).nodes
    graph = build(list(nodes.values()), nodes)
    assert len([node for node in graph.nodes if node.kind() == "pretrain"]) == 1 + 6 * 3
    assert nodes["asked"].where == "held_out"
    for name in ("tokenizer", "domain_rows", "general_rows", "questions"):  # these leave out what is held out
        assert "held_out" in columns_of(nodes[name].docs)
    assert len([node for node in graph.nodes if node.kind() == "split"]) == 1


@pytest.mark.parametrize("name", ["distil", "infalign", "kaft", "tools"])
def test_a_recipe_of_a_world_is_a_graph_that_ends_in_a_table(name):
    nodes = parse((Path(__file__).parents[2] / "recipes" / f"{name}.yaml").read_text(), vocabulary()).nodes
    graph = build(list(nodes.values()), nodes)
    assert nodes["table"] in graph.nodes
    assert len([node for node in graph.nodes if node.kind() == "pretrain"]) >= 4
