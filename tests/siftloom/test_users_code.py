"""A user's code that changed is seen, in whatever file it stands and however the command was started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_the_console_script_sees_an_edited_function_and_its_helper(folder: Path) -> None:
    script("run", "mine.yaml", "--cpus", "1", cwd=folder)
    assert not any(notices(script("plan", "mine.yaml", "--json", cwd=folder)).values())
    assert sizes(folder) == [66, 66]
    (folder / "helper.py").write_text("FACTOR = 100\n")
    words = ("plan", "mine.yaml", "--json")
    for plan in (script(*words, cwd=folder), siftloom(*words, cwd=folder).stdout):
        assert "its code has changed since it ran" in notices(plan)["sized"][0]
    (folder / "docs" / "c.txt").write_text("c text of a few words\n" * 3)
    script("run", "mine.yaml", "--cpus", "1", cwd=folder)
    assert sizes(folder) == [6600, 6600, 6600], "values of the old helper in a node of the new one"


def test_an_edit_between_two_runs_of_one_process_is_seen_by_driver_and_workers(folder: Path) -> None:
    command = [sys.executable, "-c", NOTEBOOK]
    done = subprocess.run(command, cwd=folder, env=environment(), text=True, capture_output=True, timeout=280)
    assert done.stdout.split("\n")[:2] == ["[66, 66]", "[330, 330, 330]"], f"{done.stdout}\n{done.stderr}"


def test_a_function_that_is_nowhere_is_told_by_the_plan(folder: Path) -> None:
    (folder / "rules.py").unlink()
    told = siftloom("plan", "mine.yaml", cwd=folder, code=2).stderr
    assert "map: no module 'rules' in the working folder, nor on the path of Python" in told
