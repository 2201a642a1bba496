"""`siftloom budget`: numbers of presets and recipes, and the refusal of a run that does not fit."""

from __future__ import annotations

import json

import pytest
from command_line import ROOT, siftloom

RECIPE = """
nodes:
  docs: {use: read, paths: ["demo://corpus"]}
  rows: {use: pack, docs: docs, tokenizer: {use: tokenizer, docs: docs, vocab_size: 2048}, length: 256}
  dense: {use: pretrain, rows: rows, model: {llama: 1m}, steps: 60, batch_rows: 16, device: cpu}
  low:
    use: pretrain
    rows: rows
    model: {low_rank: 1m, rank: 1}
    match: {parameters_of: lost}
    device: cpu
  lost: {use: pretrain, rows: rows, model: {lost: 1m, rank: 16, density: 0.05}, device: cpu}
"""


@pytest.mark.long
def test_a_preset_is_shown_with_every_method_and_the_published_hours() -> None:
    told = json.loads(siftloom("budget", "60m", "--json", cwd=ROOT).stdout)
    assert {row["name"]: row["parameters"] for row in told["models"]} == {
        "60m dense": 58_073_600, "60m low-rank r128": 42_770_944, "60m sltrain": 43_529_832,
        "60m lost d=0.01": 43_016_192, "60m lost d=0.05": 44_009_472,
    }  # fmt: skip
    assert told["models"][0]["weights"] == 4 * 58_073_600
    halves = json.loads(siftloom("budget", "60m", "--shard", "2", "--json", cwd=ROOT).stdout)["models"][0]
    assert halves["weights"] == 2 * 58_073_600
    assert [row["h100_hours"] for row in told["published"]] == [26, 240, 740, 3700]
    shown = siftloom("budget", "60m", cwd=ROOT).stdout
    assert "58,073,600" in shown
    assert "DCLM 6.9B" in shown


@pytest.mark.long
def test_a_recipe_is_shown_by_node_and_a_run_that_does_not_fit_is_an_error(tmp_path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    rows = {
        row["name"]: row for row in json.loads(siftloom("budget", "r.yaml", "--json", cwd=tmp_path).stdout)["models"]
    }
    assert rows["dense"]["tokens"] == 60 * 16 * 256
    assert rows["dense"]["parameters"] == 1_328_256
    assert 0.97 * rows["lost"]["parameters"] < rows["low"]["parameters"] <= rows["lost"]["parameters"]
    large = siftloom("budget", "r.yaml", "-s", "dense.batch_rows=1073741824", cwd=tmp_path, code=1)
    assert "TB" in large.stdout
    assert "error: pretrain" in large.stderr
    assert "which is what this machine has" in large.stderr
    assert "no recipe and no preset" in siftloom("budget", "61m", cwd=ROOT, code=1).stderr
