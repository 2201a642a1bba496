"""The wheel: what is in it, and that it works in an empty folder, far from the checkout.

It is built with the setuptools of this environment and installed beside its libraries, so no network is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("siftloom", "pipeline", "stages", "models", "recipes")
CHECKOUT_ONLY = "recipes/rebuild/"  # what builds the corpus: nobody who installs a wheel needs it
RECIPE = """\
name: far
nodes:
  docs: {use: read, paths: ["demo://good"]}
  once: {use: exact_dedup, docs: docs}
"""


def run(*words: object, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=200, **options)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is in the checkout: building leaves folders behind, and takes along what lies in old ones."""
    copy = tmp_path_factory.mktemp("source")
    clean = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in (*ROOMS, "tests", "benchmarks", "clusters", "docs"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, copy / name, ignore=clean)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", source, *flags)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """Where the commands of a fresh environment lie: it has the wheel, and sees the libraries of this one."""
    home = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps", "--no-index", wheel)
    # Of a folder named in a .pth its own .pth files are not read, so the editable install does not come along.
    own = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


@pytest.fixture
def far(programs, tmp_path):
    """Runs a command of the fresh environment in an empty folder; nothing points at the checkout."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PATH"] = f"{programs}:{env['PATH']}"
    return lambda *words: run(programs / words[0], *words[1:], cwd=tmp_path, env=env)


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_rooms_is_in_the_wheel_and_nothing_else(wheel, source):
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    rooms = {
        path.relative_to(source).as_posix() for room in ROOMS for path in (source / room).rglob("*") if path.is_file()
    }
    left = {name for name in rooms if name.startswith(CHECKOUT_ONLY)}
    assert left
    assert packed == rooms - left


@pytest.mark.parametrize(
    "name",
    [
        "recipes/demo.yaml",
        "recipes/corpus/corpus-00.jsonl.gz",
        "recipes/corpus/truth.jsonl.gz",
        "recipes/LICENSES.md",
        "pipeline/report/page.html",
        "pipeline/report/page.css",
        "pipeline/report/page.js",
        "stages/hashing/code_points.npz",
        "models/hf/modeling_siftloom_lost.py",
        "siftloom/__main__.py",
        "siftloom/py.typed",
        "pipeline/py.typed",
        "stages/py.typed",
        "models/py.typed",
    ],
)
def test_what_is_read_while_it_runs_is_in_the_wheel(wheel, name):
    assert name in names(wheel)


def test_the_wheel_says_what_it_needs_and_what_it_may_be_used_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Dist: ray[data,default,train]" in metadata


def test_the_modules_are_those_of_the_wheel(far, programs):
    code = f"import importlib; print([importlib.import_module(m).__file__ for m in {ROOMS}])"
    for place in json.loads(far("python", "-c", code).replace("'", '"')):
        assert Path(place).is_relative_to(programs.parent)


def test_help(far):
    assert "siftloom" in far("siftloom", "--help")


def test_the_demo_recipe_of_the_wheel_can_be_planned(far):
    recipe = far("python", "-c", "from importlib.resources import files; print(files('recipes') / 'demo.yaml')").strip()
    entries = json.loads(far("siftloom", "plan", recipe, "--json"))
    assert {"run"} == {entry["action"] for entry in entries["nodes"]}


@pytest.mark.long
def test_a_run_on_the_corpus_of_the_wheel(far, tmp_path):
    """Workers are other processes: they too must find the modules in the environment."""
    (tmp_path / "far.yaml").write_text(RECIPE)
    last = json.loads(far("siftloom", "run", "far.yaml", "--cpus", "1", "--json").splitlines()[-1])
    page = Path(tmp_path, last["report"]).read_text()
    assert last["event"] == "result"
    assert "<style>" in page
    assert "exact_dedup" in page
