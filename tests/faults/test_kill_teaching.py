"""SIGKILL of the driver in every node of what a trained model is taught further, and the same bytes from workers."""

from __future__ import annotations

import json
import random

import pytest
from corpus import bytes_of
from kill import UnbrokenRecipe, kill_in_each, run_to_the_end

from pipeline.run import open_run
from recipes.worlds import facts, grammar

RECIPE = """
name: teaching
nodes:
  answers: {use: read, paths: ["answers/*.jsonl"], keep: ["context:string", "reward:float64", "own:float64",
            "reference_nats:float64"]}
  ranked: {use: calibrate, docs: answers, reward: reward, by: context}
  tilted: {use: transform_reward, docs: ranked, by: context, t: 10, kl: 0.5}
  wins: {use: win_rate, policy: tilted, reference: answers, reward: reward, by: context, nats: [own, reference_nats]}
  at: {use: equal_kl, runs: [wins], labels: [one], kl: 0.5}
  mean: {use: measure, docs: tilted, value: phi, by: context}
  tokenizer: {use: tokenizer, docs: answers, vocab_size: 300}
  rows: {use: pack_samples, docs: tilted, tokenizer: tokenizer, length: 48, sample: {answer: {prompt: context}},
         carry: [phi, beta, log_z, reference_nats]}
  base: {use: pretrain, rows: rows, model: {llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2}, steps: 3,
         batch_rows: 4}
  alone: {use: pretrain, rows: {rows: 1.0}, model: {llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2}, steps: 3,
          batch_rows: 4}
  policy: {use: pretrain, rows: rows, start: base, model: {llama: 1m, hidden: 32, inter: 48, layers: 2, heads: 2},
           transform: [{depth: {layers: [[0, 1], [0, 1]]}}], objective: pointwise, attend: document, steps: 3,
           batch_rows: 4, checkpoint_every: 1}
  pairs: {use: pairs, docs: answers, by: context, carry: [context]}
  cheap: {use: critics, docs: pairs}
  judged: {use: entail, docs: cheap, fn: "recipes.worlds.grammar:entails"}
  kept: {use: diverse, docs: judged, by: context, fn: "recipes.worlds.grammar:entails"}
  facts: {use: read, paths: ["facts.jsonl"], keep: ["question:string", "context:string", "answer:string",
          "type:string"]}
  samples: {use: kaft, docs: facts, type: type}
  exact: {use: exact_match, docs: facts, expected: answer}
  asked: {use: map, docs: {use: read, paths: ["pages.jsonl"]}, fn: "recipes.worlds.last_words:asked",
          writes: {asked: string, answer: string}, removes: [no_sentence]}
  first: {use: map, docs: asked, fn: "recipes.worlds.last_words:first_word", new_text: true}
  meant: {use: embed, docs: first, model: base, template: "{answer}", as: meant}
  said: {use: embed, docs: meant, model: base, as: said}
  near: {use: cosine_similarity, docs: said, left: said, right: meant, as: semscore}
"""
KILLS = (  # about in the order in which the nodes run
    "calibrate-:before-receipt", "pairs-:before-receipt", "calibrate-:after-receipt",
    "transform_reward-:before-receipt", "kaft-:before-receipt", "exact_match-:before-receipt",
    "win_rate-:before-receipt", "measure-:before-receipt", "critics-:before-receipt", "entail-:before-receipt",
    "diverse-:before-receipt", "diverse-:before-manifest", "cosine_similarity-:before-receipt",
    "equal_kl-:before-receipt", "pretrain-:log-trained",
)  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> UnbrokenRecipe:
    folder, draw = tmp_path_factory.mktemp("teaching"), random.Random(3)
    (folder / "answers").mkdir()
    rows = [row for row in grammar.rows() if int(row["id"].partition(":")[0]) < 120]
    for number, start in enumerate(range(0, len(rows), 640)):
        given = [
            row | {"reward": draw.gauss(0, 1), "own": 3.0 + draw.random(), "reference_nats": 3.5}
            for row in rows[start : start + 640]
        ]
        (folder / "answers" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    own = [row | {"text": draw.choice(facts.ANSWERS[row["type"]])} for row in facts.rows()]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    pages = [f"Page {n}. {'The lock of a row is held until the commit. ' * 4}It waits for {n} keys." for n in range(60)]
    lines = [json.dumps({"id": f"{n}", "text": page}) + "\n" for n, page in enumerate(pages)]
    (folder / "pages.jsonl").write_text("".join(lines))
    (folder / "teaching.yaml").write_text(RECIPE)
    made = UnbrokenRecipe(folder, "teaching.yaml")
    run_to_the_end(made.command(folder / "store"))
    return made


def test_a_run_that_is_killed_in_every_node_goes_on_to_the_same_bytes(unbroken, tmp_path):
    kill_in_each(unbroken.command, KILLS, unbroken.folder / "store", tmp_path)


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_the_bytes_are_those_of_any_number_of_workers(unbroken, tmp_path, cpus):
    run_to_the_end(unbroken.command(tmp_path / "store", "--cpus", cpus))
    assert bytes_of(tmp_path / "store") == bytes_of(unbroken.folder / "store")


def test_a_mixture_without_another_text_is_the_text_alone(unbroken):
    run = open_run(str(unbroken.folder / "store"), "teaching")
    one, other = (run[name].path("train", "all", "/model.safetensors").read_bytes() for name in ("base", "alone"))
    assert one == other
