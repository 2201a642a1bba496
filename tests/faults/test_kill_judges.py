"""SIGKILL of the driver in the nodes that judge by a model, guide one, measure vectors and check translations, and the
same bytes from one CPU and from two.
"""

from __future__ import annotations

import json

import pytest
from corpus import bytes_of
from kill import UnbrokenRecipe, kill_in_each, run_to_the_end

from recipes.worlds import ciphers

RECIPE = """
name: judges
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"], keep: ["lang:string", "english:string", "side:string", "stars:float64"]}
  tokenizer: {use: tokenizer, docs: docs, vocab_size: 300, specials: [<a>, <b>]}
  rows: {use: pack, docs: docs, tokenizer: tokenizer, length: 64}
  base: {use: pretrain, rows: rows, model: &small {llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2}, steps: 2,
         batch_rows: 4}
  classes: {use: pack_samples, docs: docs, tokenizer: tokenizer, length: 64,
            sample: {classes: {label: side, codes: {one: <a>, two: <b>}, max_chars: 12}}}
  judge: {use: pretrain, rows: classes, start: base, model: *small, attend: document, steps: 2, batch_rows: 4,
          objective: {gedi: {codes: [<a>, <b>]}}}
  judged: {use: posterior, docs: docs, model: judge, wanted: <a>, batch_rows: 8, commit_rows: 8}
  guided: {use: generate, docs: docs, model: base, prompt: "{text}", max_chars: 8, max_tokens: 4, batch_rows: 4,
           commit_rows: 8, guide: {gedi_guide: {model: judge, wanted: <a>, against: <b>}}}
  left: {use: embed, docs: docs, model: base, as: left, max_chars: 24}
  vectors: {use: embed, docs: left, model: base, pooling: last, as: right, max_chars: 24}
  found: {use: retrieval, queries: vectors, docs: vectors, by: left, match: lang}
  alike: {use: similarity, docs: vectors, left: left, right: right, gold: stars}
  folder: {use: export, model: base, form: sentence_transformers, pooling: weighted}
  languages: {use: train_classifier, docs: docs, label: lang, min_chars: 1}
  foreign: {use: select, docs: docs, where: "lang != 'en'"}
  shots: {use: exemplars, docs: foreign, bank: docs, k: 4, max_tokens: 800}
  checked: {use: translation_checks, docs: shots, source: text, target: english, back: text, classifier: languages,
            min_probability: 0.2}
  right: {use: chrf, docs: shots, expected: english}
"""
KILLS = (  # about in the order in which the nodes run
    "exemplars-:before-receipt", "exemplars-:after-receipt:2", "chrf-:before-receipt",
    "translation_checks-:before-receipt", "translation_checks-:after-receipt:2", "export-:before-receipt",
    "posterior-:after-piece:2", "posterior-:before-receipt", "generate-:after-piece:2", "generate-:before-receipt",
    "generate-:before-manifest", "retrieval-:before-receipt", "retrieval-:before-manifest",
    "similarity-:before-receipt",
)  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> UnbrokenRecipe:
    folder = tmp_path_factory.mktemp("judges")
    (folder / "docs").mkdir()
    rows = [row for row in ciphers.rows() if int(row["id"].partition(":")[2]) < 16]
    for number in range(3):
        mine = [
            row | {"side": ["one", "two"][at % 2], "stars": at * 7 % 11 / 11}
            for at, row in enumerate(rows[number::3])
        ]  # fmt: skip
        (folder / "docs" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mine))
    (folder / "judges.yaml").write_text(RECIPE)
    made = UnbrokenRecipe(folder, "judges.yaml")
    run_to_the_end(made.command(folder / "store"))
    return made


def test_a_run_that_is_killed_in_every_node_goes_on_to_the_same_bytes(unbroken, tmp_path):
    kill_in_each(unbroken.command, KILLS, unbroken.folder / "store", tmp_path)


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_the_bytes_are_those_of_any_number_of_workers(unbroken, tmp_path, cpus):
    run_to_the_end(unbroken.command(tmp_path / "store", "--cpus", cpus))
    assert bytes_of(tmp_path / "store") == bytes_of(unbroken.folder / "store")
