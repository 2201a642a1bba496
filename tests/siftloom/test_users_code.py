"""A user's code that changed is seen, in whatever file it stands and however the command was started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import environment, siftloom

RECIPE = """\
name: mine
store: kept
nodes:
  docs: {use: read, paths: ["docs/*.txt"]}
  sized: {use: map, docs: docs, fn: "rules:size", writes: {size: int64}}
"""
RULES = """\
import pyarrow.compute as pc


def size(table):
    from helper import FACTOR

    return {"size": pc.multiply(pc.utf8_length(table["text"]).cast("int64"), FACTOR)}
"""
# An interpreter that goes on after an edit, as that of a notebook does.
NOTEBOOK = """\
from pathlib import Path
from siftloom import Pipeline, stages as s

def run():
    sized = s.Map(docs=s.Read(paths=["docs/*.txt"]), fn="rules:size", writes={"size": "int64"})
    done = Pipeline([sized], name="notebook", store="kept").run(cpus=1, progress=False)
    return sorted(done[sized].rows(["size"])["size"].to_pylist())

print(run())
Path("helper.py").write_text("FACTOR = 5\\n")
Path("docs/c.txt").write_text(Path("docs/a.txt").read_text())
print(run())
"""

OWN = """\
from dataclasses import dataclass

from pipeline.bounds import Count
from pipeline.contract import Columns, Node, Removed, RowNode, threshold


@dataclass(frozen=True, kw_only=True, eq=False)
class LongEnough(RowNode):
    \"\"\"Drop short documents.\"\"\"

    docs: Node
    min_chars: Count = threshold(200)

    version = 1
    reasons = ("long_enough.short",)

    def adds(self):
        return {"chars": "int32"}

    def open(self, ctx):
        import pyarrow.compute as pc

        return lambda table: Columns(added={"chars": pc.utf8_length(table["text"]).cast("int32")})

    def decide(self, scores):
        import pyarrow.compute as pc

        short = pc.less(scores["chars"], self.min_chars)
        return Removed.where(short, "long_enough.short", value=scores["chars"], threshold=self.min_chars)

    @classmethod
    def explain(cls, ctx, row):
        return {"asked": "LongEnough"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name in ("a", "b"):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"{name} text of a few words\n" * 3)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "helper.py").write_text("FACTOR = 1\n")
    return tmp_path


def script(*words: str, cwd: Path) -> str:
    """The console script itself, whose own folder stands on the path in the place of the working one."""
    command = [str(Path(sys.executable).with_name("siftloom")), *words]
    done = subprocess.run(command, cwd=cwd, env=environment(), text=True, capture_output=True, timeout=280)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def notices(plan: str) -> dict[str, list[str]]:
    return {node["name"]: node["notices"] for node in json.loads(plan)["nodes"]}


def sizes(folder: Path) -> list[int]:
    code = "from siftloom import open_run; print(open_run('kept', 'mine')['sized'].rows(['size'])['size'].to_pylist())"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.long
def test_the_console_script_sees_an_edited_function_and_its_helper(folder: Path) -> None:
    script("run", "mine.yaml", "--here", cwd=folder)
    assert not any(notices(script("plan", "mine.yaml", "--json", cwd=folder)).values())
    assert sizes(folder) == [66, 66]
    (folder / "helper.py").write_text("FACTOR = 100\n")
    words = ("plan", "mine.yaml", "--json")
    for plan in (script(*words, cwd=folder), siftloom(*words, cwd=folder).stdout):
        assert "its code has changed since it ran" in notices(plan)["sized"][0]
    (folder / "docs" / "c.txt").write_text("c text of a few words\n" * 3)
    script("run", "mine.yaml", "--cpus", "1", cwd=folder)
    assert sizes(folder) == [6600, 6600, 6600], "values of the old helper in a node of the new one"


@pytest.mark.long
def test_an_edit_between_two_runs_of_one_process_is_seen_by_driver_and_workers(folder: Path) -> None:
    command = [sys.executable, "-c", NOTEBOOK]
    done = subprocess.run(command, cwd=folder, env=environment(), text=True, capture_output=True, timeout=280)
    assert done.stdout.split("\n")[:2] == ["[66, 66]", "[330, 330, 330]"], f"{done.stdout}\n{done.stderr}"


def test_a_function_that_is_nowhere_is_told_by_the_plan(folder: Path) -> None:
    (folder / "rules.py").unlink()
    told = siftloom("plan", "mine.yaml", cwd=folder, code=2).stderr
    assert "map: no module 'rules' in the working folder, nor on the path of Python" in told


@pytest.mark.long
def test_a_class_of_the_users_in_a_recipe_is_as_good_as_ours(folder: Path) -> None:
    (folder / "docs" / "long.txt").write_text("a text of a few words\n" * 9)
    (folder / "own_rules.py").write_text(OWN)
    own = RECIPE.partition("  sized")[0] + "  long: {use: own_rules:LongEnough, docs: docs, min_chars: 50}\n"
    (folder / "mine.yaml").write_text(own)

    def told(*words: str) -> Any:
        return json.loads(siftloom(*words, "--json", cwd=folder).stdout)

    script("run", "mine.yaml", "--here", cwd=folder)
    counted = json.loads(script("whatif", "mine", "long", "min_chars=100", "--store", "kept", "--json", cwd=folder))
    assert counted["kept"]["documents"] == [3, 1]
    assert counted["reasons"] == {"long_enough.short": [0, 2]}
    gone = told("whatif", "mine", "long", "min_chars=9999", "--store", "kept")
    traced = told("why", "mine", gone["sides"]["removed then"]["examples"][0]["id"], "--store", "kept")
    assert [step.get("asked") for step in traced["steps"]] == [None, "LongEnough"]
    plan = told("plan", "mine.yaml", "-s", "long.min_chars=100")
    assert {node["name"]: node["action"] for node in plan["nodes"]} == {"docs": "reuse", "long": "run"}
    (folder / "own_rules.py").write_text(OWN.replace("version = 1", "version = 2"))
    plan = told("plan", "mine.yaml")
    assert plan["nodes"][1]["why"] == "version: 1 -> 2"
    for text, words in (
        ("own_rules:LongEnuf", "no class 'LongEnuf' in the module own_rules; did you mean 'LongEnough'?"),
        ("no_rules:LongEnough", "no module 'no_rules' in the working folder"),
    ):
        (folder / "mine.yaml").write_text(own.replace("own_rules:LongEnough", text))
        said = siftloom("plan", "mine.yaml", cwd=folder, code=2).stderr
        assert f"mine.yaml:5:15: {words}" in said


def test_the_version_of_a_map_is_a_key_of_the_recipe(folder: Path) -> None:
    (folder / "mine.yaml").write_text(RECIPE.replace("fn: ", "version: 2, fn: "))
    script("plan", "mine.yaml", cwd=folder)
    (folder / "mine.yaml").write_text(RECIPE.replace("fn: ", "version: two, fn: "))
    assert "mine.yaml:5:" in siftloom("plan", "mine.yaml", cwd=folder, code=2).stderr
