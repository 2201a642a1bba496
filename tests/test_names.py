"""A name has one meaning, and a file is read in one go."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("siftloom", "pipeline", "stages", "models")
TRAVELS = "models/hf/modeling_siftloom_lost.py"  # it lies beside a model's weights, by itself


def modules() -> dict[str, str]:
    """File -> its text."""
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    assert len(found) > 300
    return found


def classes() -> dict[str, list[str]]:
    """Name of a class -> the files that define one of this name."""
    found = defaultdict(list)
    for file, text in modules().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and file != TRAVELS:
                found[node.name].append(file)
    assert len(found) > 400
    return found


def test_no_two_classes_have_one_name():
    assert {name: files for name, files in classes().items() if len(files) > 1} == {}


def test_no_file_but_the_contract_is_longer_than_three_hundred_lines():
    lines = {file: text.count("\n") for file, text in modules().items()}
    assert {file: count for file, count in lines.items() if count > 300} == {
        "pipeline/contract.py": lines["pipeline/contract.py"]
    }
