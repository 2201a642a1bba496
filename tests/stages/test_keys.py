"""Equal rules mean equal bytes: of a phase, of scores, and of a whole node whose runtime fields alone differ.

One field of a node is changed at random. Where the change leaves a rule as it was, both nodes are run from nothing in
stores of their own, and what the rule stands for must be equal. `--hypothesis-profile explore` draws 40 for each kind.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import catalogue_nodes as catalogue
import pyarrow as pa
import pytest
from hypothesis import settings
from run_here import Here

from pipeline.contract import Node
from pipeline.errors import SiftloomError

KINDS = (
    "read", "language", "gopher_quality", "gopher_repetition", "c4", "fineweb_quality", "refinedweb_lines", "signals",
    "url", "pii", "garbled", "code", "keyword", "safety", "tidy", "exact_dedup", "minhash_dedup", "url_dedup",
    "line_dedup", "substring_dedup", "decontaminate", "coherence", "halves", "extract", "write", "map", "split",
    "select", "ensemble",
    "train_ngram", "perplexity", "train_quality", "quality", "train_classifier", "classify", "loss_weights",
    "tokenizer", "pack", "export_tokens",
)  # fmt: skip
DECIDED = {"state", "duplicate_of", "removed_value", "removed_threshold"}  # by thresholds, from the scores
DRAWN = 40 if settings.default.max_examples >= 1000 else 2
CORPUS = Path(__file__).parents[2] / "recipes" / "corpus" / "corpus-00.jsonl.gz"


@pytest.fixture(scope="module")
def at(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Real pages, some twice, some nearly so, some with what rules look for."""
    folder = tmp_path_factory.mktemp("files")
    found = catalogue.files(folder)
    with gzip.open(CORPUS, "rt") as file:
        pages = [json.loads(line)["text"] for _, line in zip(range(50), file, strict=False)]
    pages += [*pages[:5], *(page.replace(" the ", " a ", 2) for page in pages[5:15]), "Der Hund ist im Haus. " * 9]
    pages += [
        "write to me@example.org or 192.168.7.9 word word {x} lorem ipsum ... # - a\n" * 4,
        "x\ufffd\ufffd y\x01" * 9,
    ]
    rows = [{"id": f"{n}", "text": page, "url": f"http://e.x/{n % 40}?a={n}"} for n, page in enumerate(pages)]
    for name, some in (("a.jsonl", rows), ("b.jsonl", rows[:20])):
        Path(found[name]).write_text("".join(json.dumps(row) + "\n" for row in some))
    Path(found["evals.jsonl"]).write_text(json.dumps({"text": pages[20][:600]}) + "\n")
    sys.path.insert(0, str(folder))
    yield found
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def made(at: dict[str, str]) -> dict[str, Node]:
    def lenient(node: Node) -> Node:
        own = {field.name for field in dataclasses.fields(node)}
        wanted = {"allow_empty": True, "max_removed_fraction": 1.0}
        return dataclasses.replace(node, **{name: value for name, value in wanted.items() if name in own})

    return {kind: lenient(node) for kind, node in catalogue.nodes(at).items()}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_rule_stands_for_is_equal_where_the_rule_is(kind, at, made, tmp_path):
    before = Here(made[kind], tmp_path / "before")
    drawn = catalogue.changes(made[kind], at, random.Random(f"{kind} keys"))
    for number in range(DRAWN):
        name, changed = next(drawn)
        if isinstance(getattr(changed, name), Node):
            continue
        try:
            after = Here(changed, tmp_path / f"after {number}")
        except SiftloomError:  # nothing to read in files of another format, say: no bytes
            continue
        compare(before, after, f"{kind}.{name}: {getattr(made[kind], name)!r} -> {getattr(changed, name)!r}")


def compare(before: Here, after: Here, label: str) -> None:
    """Where the rules of a phase are equal and its tasks take the same, they write the same. A base whose keys say what
    its tasks read does so key by key.
    """
    one, two = (here.state.manifest(here.target) for here in (before, after))
    assert one is not None
    assert two is not None
    for phase, rule in one["rules"].items():
        acted = rule is not None and rule == two["rules"].get(phase)
        acted = acted and one["takes"].get(phase) == two["takes"].get(phase)
        if acted or one["fingerprint"] == two["fingerprint"]:
            ours, theirs = before.files(phase), after.files(phase)
            if before.target.content_keys:
                ours, theirs = ({name: files[name] for name in ours.keys() & theirs.keys()} for files in (ours, theirs))
            assert ours == theirs, f"{label}: {phase}"
    if one["scores"] == two["scores"] and all(one["scores"].values()) and one["row_phase"]:
        same_columns(before.columns(), after.columns(), label)


def same_columns(one: pa.Table, two: pa.Table, label: str) -> None:
    """Of all rows, since both runs began with the same ones."""
    for name in set(one.column_names) - DECIDED:
        assert one[name].equals(two[name]), f"{label}: {name}"
