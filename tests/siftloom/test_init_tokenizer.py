"""A tokenizer that lies beside the data is the tokenizer of the recipe that `init` writes."""

import json
from pathlib import Path

from command_line import PROSE, siftloom

from pipeline.recipe import load
from siftloom.vocabulary import vocabulary
from tests.stages.tokens.given_tokenizers import byte_level


def test_init_takes_the_tokenizer_beside_the_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = [{"text": PROSE.format(n=n)} for n in range(12)]
    (tmp_path / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    siftloom("init", "data", "--out", "own.yaml", cwd=tmp_path)
    assert load(tmp_path / "own.yaml", vocabulary()).nodes["tokenizer"].vocab_size == 2048
    byte_level("qwen", tmp_path)
    siftloom("init", "data", "--out", "theirs.yaml", cwd=tmp_path)
    node = load(tmp_path / "theirs.yaml", vocabulary()).nodes["tokenizer"]
    assert (node.docs, Path(str(node.from_)).name) == (None, "tokenizer.json")
    assert node.entries == 2003
    (tmp_path / "one.yaml").write_text("name: one\nnodes:\n  t: {use: tokenizer, from: tokenizer.json}\n")
    assert load(tmp_path / "one.yaml", vocabulary()).nodes["t"].entries == 2003
