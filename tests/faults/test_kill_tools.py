"""SIGKILL of the driver while trees of steps grow, among the rounds of a model that learns from them; the same bytes
from workers and without Ray.
"""

from __future__ import annotations

import json

import pytest
from corpus import bytes_of
from kill import UnbrokenRecipe, changed, receipted, run_to_the_end, was_killed

RECIPE = """
name: tools
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"], keep: ["asked:string", "expected:string", "kind:string"]}
  tokenizer: {use: tokenizer, docs: docs, vocab_size: 280}
  rows: {use: pack_samples, docs: docs, tokenizer: tokenizer, length: 96, sample: {answer: {prompt: asked}}}
  base: {use: pretrain, rows: rows, model: {llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2}, steps: 3,
         batch_rows: 4, attend: document}
repeat:
  times: 2
  carry: {policy: {first: base, then: tuned}}
  nodes:
    scored: {use: likelihood, docs: docs, model: policy, prompt: "{asked}", target: "{expected}", ends: true}
    weakest: {use: select, docs: scored, by: likelihood_nats / likelihood_tokens, keep_fraction: 0.6, per: kind}
    trees: {use: step_tree, docs: weakest, model: policy, prompt: "{asked}", reward: tool_call, max_tokens: 8,
            boundaries: [a, e, t, "("], batch_rows: 4, commit_rows: 8, branch: 4, gap: 0.05}
    pairs: {use: pack_samples, docs: trees, tokenizer: tokenizer, length: 96,
            sample: {preference: {prompt: prompt_ids, chosen: chosen_ids, rejected: rejected_ids}}}
    tuned: {use: pretrain, rows: pairs, start: policy, model: {llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2},
            objective: simpo, attend: document, steps: 3, batch_rows: 4, checkpoint_every: 1}
    called: {use: call_match, docs: {use: generate, docs: docs, model: tuned, prompt: "{asked}", max_tokens: 8,
             carry: [expected], batch_rows: 4}}
"""
KILLS = (
    "step_tree-:after-piece:2", "step_tree-:before-receipt", "step_tree-:before-manifest", "call_match-:before-receipt",
)  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> UnbrokenRecipe:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "docs").mkdir()
    for name in "ab":
        rows = [
            {
                "id": f"{name}{n}",
                "text": f"f(a={n})",
                "asked": f"a of {n} {name}\n",
                "expected": "no tool",
                "kind": "talk",
            }
            for n in range(9)
        ]
        (folder / "docs" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tools.yaml").write_text(RECIPE)
    made = UnbrokenRecipe(folder, "tools.yaml")
    run_to_the_end(made.command(folder / "store"))
    return made


def test_a_run_that_is_killed_inside_a_round_goes_on_to_the_same_bytes(unbroken, tmp_path):
    store, before = tmp_path / "store", {}
    for kill in KILLS:  # each node comes twice, so that some kills lie in the second round
        assert was_killed(unbroken.command(store), kill, tmp_path / kill.replace(":", "_")), kill
        assert changed(before, store) == set(), kill
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.folder / "store")


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_the_bytes_of_trees_are_those_of_any_number_of_workers(unbroken, tmp_path, cpus):
    run_to_the_end(unbroken.command(tmp_path / "store", "trees_1", "--cpus", cpus))
    found, whole = bytes_of(tmp_path / "store"), bytes_of(unbroken.folder / "store")
    assert any("step_tree-" in name for name in found)
    assert {name: whole.get(name) for name in found} == found
