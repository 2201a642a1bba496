"""SIGKILL at random moments of a graph that makes a model longer, deeper and talkative, and looks for needles in it:
the same bytes, without Ray and one training process, and on Ray with two.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import run_to_the_end, run_until_killed

from pipeline.run import open_run

RECIPE = """
name: tuning
nodes:
  docs: {use: split, docs: {use: read, paths: [docs.jsonl]}, held_out: 0.3}
  words: {use: tokenizer, docs: docs, vocab_size: 300}
  more: {use: tokenizer, extends: words, specials: ["<|im_start|>", "<|im_end|>"]}
  rows: {use: pack, docs: docs, tokenizer: words, length: 64}
  base: {use: pretrain, rows: rows, model: MODEL, steps: 4, batch_rows: 4, checkpoint_every: 1, log_interval: 1,
         workers: WORKERS}
  asked: {use: haystack, docs: docs, chars: 120}
  tasks: {use: pack_samples, docs: asked, tokenizer: more, length: 128, sample: {answer: {}}}
  tuned: {use: pretrain, rows: tasks, start: base, model: DEEPER, attend: document, steps: 4, batch_rows: 4,
          checkpoint_every: 1, neftune: 5, workers: WORKERS, log_interval: 1,
          transform: [{add_tokens: {tokens: ["<|im_start|>", "<|im_end|>"]}}, {rope_base: {theta: 80000.0}},
                      {depth: {similar: 1}}]}
  found: {use: needle, model: tuned, docs: docs, lengths: [128], samples: 2, tokens: 8}
  answered: {use: exact_match, docs: asked, expected: answer}
"""
MODEL = "{llama: {size: 1m, hidden: 32, inter: 48, layers: 2, heads: 2}}"
DEEPER = "{llama: {size: 1m, hidden: 32, inter: 48, layers: 3, heads: 2, rope_theta: 80000.0}}"
MOMENTS = ("before-data", "before-receipt", "after-receipt", "before-manifest")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


def command(folder: Path, store: Path, workers: int) -> list[str]:
    recipe = folder / f"tuning-{workers}.yaml"
    text = RECIPE.replace("MODEL", MODEL).replace("DEEPER", DEEPER).replace("WORKERS", str(workers))
    recipe.write_text(text)
    ways = ["--here"] if workers == 1 else ["--cpus", "2"]
    return [sys.executable, "-m", "siftloom", "run", str(recipe), "--store", str(store), *ways]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    texts = [f"Day {n}. The tide turns at {n}! A boat of {n} comes home\nand rests" for n in range(90)]
    lines = [json.dumps({"id": f"{n}", "text": text}) + "\n" for n, text in enumerate(texts)]
    (folder / "docs.jsonl").write_text("".join(lines))
    run_to_the_end(command(folder, folder / "store", 1))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments_leave_the_same_bytes(unbroken, tmp_path, workers) -> None:
    views = open_run(str(unbroken / "store"), "tuning").nodes
    nodes = {view.label: view.folder.removeprefix("nodes/") for view in views}
    draw = random.Random(workers)
    # each stands on the one before, so that none is done when its turn comes
    moments = {"asked": draw.choice(MOMENTS), "tuned": "log-trained", "found": draw.choice(MOMENTS)}
    killed = [(nodes[label], moment) for label, moment in moments.items()]
    for number, (node, moment) in enumerate(killed):
        mark = tmp_path / f"killed-{number}"
        run_until_killed(command(unbroken, tmp_path / "store", workers), f"{node}:{moment}", mark)
    run_to_the_end(command(unbroken, tmp_path / "store", workers))
    assert bytes_of(tmp_path / "store") == bytes_of(unbroken / "store")
