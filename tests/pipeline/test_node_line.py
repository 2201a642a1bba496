"""The line of a node is one that a recipe can hold."""

from __future__ import annotations

import yaml

from pipeline.recipe.tree import compose, plain
from stages.read.read import Read
from stages.select import Select


def test_a_line_is_read_back_as_it_was_meant() -> None:
    paths = ["a.jsonl", "with, comma", "x: y", "true", "12", "", "s3://b/c", "ends:", "ümlaut", "[x]", "# no"]
    paths += ["*.jsonl", "docs/*.jsonl", ".5", ".inf", ".NaN", "Yes", "off", "NULL", "1e3", "./a", "../b", "..", "_1"]
    line = repr(Read(paths=tuple(paths), keep=("a:int64",)))
    assert plain(compose(line, "line")) == {"use": "read", "paths": paths, "keep": ["a:int64"]}
    assert yaml.safe_load(line)["paths"] == paths
    chosen = repr(Select(docs=Read(paths=("a",)), by="quality", keep_fraction=0.5, lowest=True))
    assert plain(compose(chosen, "line")) == {
        "use": "select", "docs": "read", "by": "quality", "keep_fraction": 0.5, "lowest": True,
    }  # fmt: skip
