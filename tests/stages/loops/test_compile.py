"""Loops are compiled once on a machine, in a folder that belongs to the user and to this text of the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.loops import compile as compiling

PACKAGE = Path(compiling.__file__).parent

# Imports the loops of one file, and prints how many of their signatures were loaded and how many compiled.
USE = """
from stages.loops.clusters import flatten, greedy, mark, mark_shared, pick, union
stats = [loop.stats for loop in (flatten, greedy, mark, mark_shared, pick, union)]
print(sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats))
"""
SIGNATURES = 8


def begin(cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen([sys.executable, "-c", USE], stdout=subprocess.PIPE, text=True, env=environment)


def counts(process: subprocess.Popen) -> tuple[int, int]:
    """(signatures loaded, signatures compiled) by a process."""
    out, _ = process.communicate(timeout=250)
    assert process.returncode == 0
    loaded, compiled = out.split()
    return int(loaded), int(compiled)


@pytest.mark.long
def test_of_processes_that_begin_together_one_compiles_and_later_ones_load(tmp_path):
    """And a file that was cut short, as a power failure may leave it, is compiled again."""
    found = [counts(process) for process in [begin(tmp_path) for _ in range(3)]]
    assert sum(compiled for _, compiled in found) == SIGNATURES
    assert sum(loaded for loaded, _ in found) == 2 * SIGNATURES
    (union, *_) = tmp_path.rglob("clusters.union*.nbc")
    union.write_bytes(union.read_bytes()[:100])
    assert counts(begin(tmp_path)) == (SIGNATURES - 2, 2)
    assert counts(begin(tmp_path)) == (SIGNATURES, 0)


def test_a_call_with_other_types_does_not_compile():
    from stages.loops.clusters import flatten

    with pytest.raises(TypeError, match="No matching definition"):
        flatten(np.zeros(4, np.float32))


def test_a_compiling_process_that_was_stopped_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "WAIT", 0.1)
    with compiling.alone(tmp_path), compiling.alone(tmp_path):
        pass


def test_nothing_outside_the_package_changes_what_is_compiled():
    """The text of its files names the folder of the cache; so they import each other and libraries only."""
    allowed = {"numpy", "numba", "filelock", *sys.stdlib_module_names}
    modules = list(PACKAGE.glob("*.py"))
    assert len(modules) > 5
    for path in modules:
        for item in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in item.names] if isinstance(item, ast.Import) else []
            names += [item.module or ""] if isinstance(item, ast.ImportFrom) else []
            tops = {name.split(".")[0] for name in names if not name.startswith("stages.loops.")}
            assert tops <= allowed, path


def test_other_text_is_another_folder(monkeypatch, tmp_path):
    """numba itself would not see that a function changed which another file's loop calls."""
    monkeypatch.setattr(compiling.config, "CACHE_DIR", str(tmp_path))
    find, read = compiling.folder.__wrapped__, Path.read_bytes
    before = find()
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "tokenise.py"))
    assert find() != before


def test_a_folder_that_cannot_be_used_is_left_for_the_next(monkeypatch, tmp_path):
    """Others can write to it, or nobody can: an installation that is read only, without a home."""
    monkeypatch.setattr(compiling.config, "CACHE_DIR", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compiling.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    find = compiling.folder.__wrapped__
    own = find()
    assert own.is_relative_to(tmp_path / "shared")
    own.chmod(0o777)
    assert find().is_relative_to(tmp_path / "home")
    (tmp_path / "home" / "siftloom" / own.name).rmdir()
    (tmp_path / "home" / "siftloom" / own.name).write_text("no folder")
    assert find().is_relative_to(tmp_path / "temporary")
