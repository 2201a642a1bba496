"""Loops are compiled once, linked without the compiler, and compiled again when anything about them is in doubt."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.loops import machine_code
from stages.loops.machine_code import Loop

ROOM = Path(machine_code.__file__).parent

# Every loop that dedup and Gopher's rules call; prints what they found, and which compilers were loaded.
USE = """
import sys
{before}
import numpy as np
import pyarrow as pa
from stages.dedup.components import flatten, forest, union
from stages.dedup.edges import may_repeat
from stages.dedup.keep import judge
from stages.dedup.passages import Grams, find
from stages.dedup.sketch import best_form, byte_hashes, sketch
text = pa.chunked_array([["one two three four five six", "one two three four five seven", None, "a b a b a b"]])
made = sketch(text, signatures=True)
parent = forest(5)
union(parent, np.array([4, 1]), np.array([1, 2]))
flatten(parent)
starts, order = np.array([0, 2]), np.zeros(2, np.int64)
judged = judge(starts, order, made.signatures[:2], made.exact[:2], min_jaccard=0.3)
gram = find(text, Grams(np.array([2]), np.array([0, 1]), np.array([7], np.uint64)), "word")
told = (
    made.signatures.sum(), made.exact.sum(), made.words, byte_hashes(text)[0].sum(), parent, gram,
    may_repeat(np.array([7, 8, 7], np.uint64)), judged.anchor, judged.pairs.sum(),
)
print(repr(told), best_form(), [name for name in ("numba", "llvmlite", "scipy") if name in sys.modules], sep="|")
"""


def use(cache: Path, before: str = "") -> tuple[str, str, str]:
    """What the loops found in a new process, by which form of the kernel, and what that process had loaded."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USE.format(before=before)],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told, form, loaded = found.stdout.strip().split("|")
    return told, form, loaded


def test_only_the_first_process_needs_the_compiler(tmp_path):
    """Then damage one file, and cut another short: they are compiled again, and the numbers are those of before."""
    first = use(tmp_path)
    assert "'numba'" in first[2]
    assert use(tmp_path) == (first[0], "numba", "['llvmlite']")
    files = sorted(tmp_path.glob("siftloom-*/*.o"))
    whole = [path.read_bytes() for path in files]
    assert len({path.name.split("-")[0] for path in files}) == 9
    files[0].write_bytes(whole[0][:-100])
    files[1].write_bytes(whole[1][:-50] + b"\0" + whole[1][-49:])
    again = use(tmp_path)
    assert again[0] == first[0]
    assert "'numba'" in again[2]
    assert use(tmp_path) == (first[0], "numba", "['llvmlite']")
    assert {path.suffix for path in tmp_path.glob("siftloom-*/*")} == {".o", ".lock"}


def test_of_processes_that_begin_together_one_compiles(tmp_path):
    code = (
        "import sys, numpy\n"
        "from stages.dedup.components import flatten, forest\n"
        "flatten(forest(3))\n"
        "print('numba' in sys.modules)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    line = [sys.executable, "-W", "ignore", "-c", code]
    begun = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    assert sorted(process.communicate(timeout=120)[0].strip() for process in begun) == ["False"] * 3 + ["True"]


def test_a_compiling_process_that_was_stopped_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "loop.o"
    monkeypatch.setattr(machine_code, "PATIENCE", 2)
    with machine_code._alone(path), machine_code._alone(path):
        pass


def test_without_numba_the_same_loops_run_in_plain_python(tmp_path):
    plain = use(tmp_path, "sys.modules.update(numba=None, llvmlite=None)")
    assert plain[1:] == ("numpy", "['numba', 'llvmlite']")  # as entries that say: not here
    assert plain[0] == use(tmp_path)[0]


def test_a_loop_takes_contiguous_arrays_and_whole_numbers():
    @Loop
    def weigh():
        raise AssertionError("compiled for arguments that it cannot take")

    with pytest.raises(TypeError, match=r"`weigh` takes contiguous arrays, found strides \(16,\)"):
        weigh(np.zeros(6)[::2])
    with pytest.raises(TypeError, match="`weigh` takes arrays and whole numbers, found float"):
        weigh(np.zeros(6), 0.5)


def test_arguments_arrive_as_they_are(tmp_path, monkeypatch):
    """Any dtype, several dimensions, signs, and all 64 bits of a number; one name for several types."""

    @Loop
    def add():
        def add(arrays, more, least, bits, out):
            for i in range(arrays.shape[0]):
                for j in range(arrays.shape[1]):
                    out[i] += arrays[i, j] * least
            out[0] += more.sum()
            more[0] = bits >> np.uint64(60) == np.uint64(15)

        return add

    monkeypatch.setattr(machine_code, "folder", lambda: str(tmp_path))
    for dtype in (np.int32, np.float64, np.uint8):
        numbers, more, out = np.arange(6, dtype=dtype).reshape(2, 3), np.array([False, True, True]), np.zeros(2)
        add(numbers, more, -2, np.uint64(2**64 - 1), out)
        assert out.tolist() == [-2 * 3 + 2, -2 * 12]
        assert more.tolist() == [True, True, True]
    assert len(list(tmp_path.glob("*.o"))) == 3


def test_a_loop_that_needs_numbas_runtime_is_refused():
    """A file that asks for it could not be linked without numba."""

    def allocates(out):
        out[0] = len(np.empty(int(out[0])))

    with pytest.raises(Exception, match="Only accept returning of array passed into the function as argument"):
        machine_code.compiled(allocates, (("int64", 1),))


def test_an_error_inside_a_loop_is_not_overlooked(tmp_path, monkeypatch):
    @Loop
    def fail():
        def fail(out):
            if out[0] == 0:
                raise ValueError("no")

        return fail

    monkeypatch.setattr(machine_code, "folder", lambda: str(tmp_path))
    fail(np.ones(1))
    with pytest.raises(RuntimeError, match="fail"):
        fail(np.zeros(1))


def test_nothing_outside_the_room_changes_what_is_compiled():
    """The digest of its files names the stored code; so they import each other, the compiler and the library only."""
    allowed = {"numpy", "numba", "llvmlite", *sys.stdlib_module_names}
    for path in ROOM.glob("*.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in item.names] if isinstance(item, ast.Import) else []
            names += [item.module or ""] if isinstance(item, ast.ImportFrom) else []
            tops = {name.split(".")[0] for name in names if not name.startswith("stages.loops.")}
            assert tops <= allowed, path


def test_other_text_or_another_processor_is_another_folder(monkeypatch, tmp_path):
    from llvmlite import binding

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    find = machine_code.folder.__wrapped__
    names = {find()}
    with monkeypatch.context() as changed:
        read = Path.read_bytes
        changed.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "lanes.py"))
        names.add(find())
    monkeypatch.setattr(binding, "get_host_cpu_name", lambda: "another")
    names.add(find())
    assert len(names) == 3


def test_code_that_others_can_write_is_not_run(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    find = machine_code.folder.__wrapped__
    own = Path(find())
    assert own.is_relative_to(tmp_path / "shared")
    own.chmod(0o777)
    assert Path(find()).is_relative_to(tmp_path / "home")
