"""A name has one meaning, and a file is read in one go."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("siftloom", "pipeline", "stages", "models")
TRAVELS = "models/hf/modeling_siftloom_lost.py"  # it lies beside a model's weights, by itself
ROOMS = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}


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


def test_no_two_files_of_tests_in_plain_folders_have_one_name():
    """pytest imports a file of a folder without `__init__.py` by its name alone, and refuses another of that name."""
    plain = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    assert len(plain) > 200
    names = Counter(path.name for path in plain)
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_no_file_but_the_contract_is_longer_than_three_hundred_lines():
    lines = {file: text.count("\n") for file, text in modules().items()}
    assert {file: count for file, count in lines.items() if count > 300} == {
        "pipeline/contract.py": lines["pipeline/contract.py"]
    }


def test_the_words_of_the_engine_are_few_and_stand_where_the_page_says():
    page = (ROOT / "docs" / "architecture.md").read_text()
    words = re.findall(r"^\| ([a-z-]+) \| .* \| `(.+)` \|$", page.partition("## Words")[2], re.MULTILINE)
    assert 30 <= len(words) <= 35
    assert [file for _, file in words if not (ROOT / "pipeline" / file).is_file()] == []


def test_every_file_that_a_page_for_developers_names_is_there():
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        named = re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", (ROOT / page).read_text())
        assert len(named) > 20
        # inside of a sentence on the engine a page leaves `pipeline/` out
        places = [ROOT / "pipeline" / name if name.partition("/")[0] in ROOMS else ROOT / name for name in named]
        assert [str(place.relative_to(ROOT)) for place in places if not place.exists()] == [], page


def test_the_packages_that_are_found_first_are_the_same_in_driver_and_workers():
    """The driver needs its list before it may import the engine, so there are two."""
    from pipeline.ray_runtime import session
    from siftloom.packages import PACKAGES

    assert set(session.OURS) == {"siftloom", *PACKAGES}
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(session.OURS) == ours - {"tests", "benchmarks"}
