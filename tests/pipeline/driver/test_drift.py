"""The code behind a node, and the libraries in it: what is found, what is told, what is refused."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from models import Llama
from pipeline.contract import Node
from pipeline.driver import drift, modules
from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import check_drift
from pipeline.errors import DriftError, RecipeError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from stages.map import Map
from stages.read.read import Read
from stages.training.pretrain import Pretrain


@pytest.fixture(autouse=True)
def looked_again(monkeypatch):
    """What a test changed is seen by no other one."""
    yield
    monkeypatch.undo()
    drift.look_again()


def behind(fn: str) -> drift.CodeIdentity:
    """The code behind a node that calls this function, as it is on the disk now."""
    drift.look_again()
    return drift.code_of(Map(docs=Node(), fn=fn, writes={"letters": "int32"}))


FILES = {
    "rules.py": "", "helper.py": "", "elsewhere/__init__.py": "", "elsewhere/words.py": "",
    "mine/__init__.py": "", "mine/rules.py": "", "mine/words.py": "", "mine/deep/__init__.py": "",
    "mine/deep/inner.py": "", "mine/open/rules.py": "", "words.txt": "a", "data/more.txt": "a", "mine/list.bin": "a",
    "mine/data/deep.npy": "a",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fn", "file", "text", "changed"),
    [
        ("rules:f", "rules.py", "", "rules.py"),
        ("rules:f", "rules.py", "import helper", "helper.py"),
        ("rules:f", "rules.py", "def f(table):\n    import helper", "helper.py"),
        ("rules:f", "rules.py", "try:\n    pass\nfinally:\n    from helper import *", "helper.py"),
        ("rules:f", "rules.py", "from elsewhere import words", "elsewhere/words.py"),
        ("rules:f", "rules.py", "import elsewhere.words", "elsewhere/__init__.py"),
        (
            "rules:f",
            "rules.py",
            'from importlib import import_module\nimport_module("elsewhere.words")',
            "elsewhere/words.py",
        ),
        ("rules:f", "rules.py", 'open("words.txt")', "words.txt"),
        ("rules:f", "rules.py", 'open("data/more.txt")', "data/more.txt"),
        ("mine.rules:f", "mine/rules.py", "from mine.words import LEAST", "mine/words.py"),
        ("mine.rules:f", "mine/rules.py", "from .words import LEAST", "mine/words.py"),
        ("mine.rules:f", "mine/rules.py", "from . import words", "mine/words.py"),
        ("mine.rules:f", "mine/deep/inner.py", "from ..words import LEAST", "mine/deep/inner.py"),
        ("mine.deep.inner:f", "mine/deep/inner.py", "from ..words import LEAST", "mine/words.py"),
        ("mine.deep.inner:f", "mine/deep/inner.py", "", "mine/__init__.py"),
        ("mine.deep:f", "mine/deep/__init__.py", "from . import inner", "mine/deep/inner.py"),
        ("mine.rules:f", "mine/__init__.py", "import helper", "helper.py"),
        ("mine.rules:f", "mine/rules.py", "", "mine/list.bin"),
        ("mine.rules:f", "mine/rules.py", 'FOLDER = "data"', "mine/data/deep.npy"),
        ("mine.open.rules:f", "mine/open/rules.py", "", "mine/open/rules.py"),
    ],
)
def test_a_changed_file_behind_a_users_function_is_seen(tmp_path, monkeypatch, fn, file, text, changed):
    for name, content in (FILES | {file: text}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    if changed == file == "mine/deep/inner.py":
        (tmp_path / "mine" / "rules.py").write_text("from .deep import inner\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = behind(fn)
    assert behind(fn) == before
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "# more\n")
    assert behind(fn).changes(before) == "its code has changed"


def test_a_file_that_no_import_reaches_is_no_code(tmp_path, monkeypatch):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = behind("rules:f")
    for name in set(FILES) - {"rules.py"}:
        (tmp_path / name).write_text("more\n")
    assert behind("rules:f") == before


def test_a_function_that_is_nowhere_is_refused():
    with pytest.raises(RecipeError, match=r"map: no module 'nowhere\.rules' in the working folder"):
        behind("nowhere.rules:f")


def test_a_module_that_is_no_python_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_rules.py").write_text("x = 1\ndef f(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RecipeError, match=r"broken_rules\.py:2"):
        behind("broken_rules:f")


def test_the_version_of_an_installed_library_stands_for_its_files(tmp_path, monkeypatch):
    (tmp_path / "libs_rules.py").write_text("import yaml, json, fasttext\nimport numpy.linalg\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = behind("libs_rules:f")
    assert {"PyYAML", "fasttext-community", "numpy", "python"} <= before.libraries.keys()
    assert "json" not in before.libraries
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0" if name == "PyYAML" else version(name))
    assert before.changes(behind("libs_rules:f")) == f"PyYAML was {before.libraries['PyYAML']} and is 0.0"


def test_a_file_among_the_installed_ones_that_is_no_librarys_is_followed(tmp_path, monkeypatch):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "dropped.py").write_text("A = 1\n")
    (tmp_path / "drop_rules.py").write_text("import dropped\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = behind("drop_rules:f")
    (tmp_path / "site-packages" / "dropped.py").write_text("A = 2\n")
    assert behind("drop_rules:f").changes(before) == "its code has changed"


@pytest.mark.parametrize("name", ["stages/hashing/code_points.npz", "models/hf/modeling_siftloom_lost.py"])
def test_data_files_beside_our_modules_are_code(monkeypatch, name):
    from stages.dedup.minhash import MinHashDedup
    from stages.training.export import Export
    from stages.training.pretrain import Pretrain

    trained = Pretrain(rows=Node(), model=Llama("1m"))
    node = MinHashDedup(docs=Node()) if name.endswith("npz") else Export(model=trained)
    drift.look_again()
    before, read = drift.code_of(node), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * path.as_posix().endswith(name))
    drift.look_again()
    after = drift.code_of(node)
    assert before.changes(after) == "its code has changed"


def test_the_modules_of_values_in_fields_are_code(monkeypatch):
    """No import leads from `pretrain` to an objective of the user's."""
    from models.objectives.emo import Emo
    from stages.training.pretrain import Pretrain

    node = Pretrain(rows=Node(), model=Llama("1m"), objective=Emo())
    files = drift._walked(drift._start(node)).files
    assert any(path.as_posix().endswith("models/objectives/emo_losses.py") for path in files)


def test_the_code_behind_a_node_is_read_and_not_imported():
    """What a driver needs to tell a change must not bring the libraries of its workers with it."""
    code = (
        "import sys\n"
        "from models import Llama\n"
        "from pipeline.contract import Node\n"
        "from pipeline.driver.drift import code_of\n"
        "from stages.dedup.minhash import MinHashDedup\n"
        "from stages.training.pretrain import Pretrain\n"
        "code_of(MinHashDedup(docs=Node()))\n"
        "code_of(Pretrain(rows=Node(), model=Llama('1m'), device='cpu', precision='fp32'))\n"
        "print([name for name in ('numba', 'numpy', 'pyarrow', 'ray', 'torch') if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_the_code_behind_a_node_ends_with_the_last_module_it_imports(monkeypatch):
    """`pretrain` imports its trainer inside a function, and that one the models; they count as well."""
    from stages.training.pretrain import Pretrain

    read, seen = Path.read_bytes, set()
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.add("/".join(path.parts[-2:])) or read(path))
    drift.look_again()
    drift.code_of(Pretrain(rows=Node(), model=Llama("1m")))
    assert {"training/worker.py", "models/lost.py", "models/attention.py", "tokens/packed_rows.py"} <= seen
    assert {path.split("/")[0] for path in seen} <= {
        "pipeline", "files", "stages", "models", "hf", "adapters", "training", "tokens",
    }  # fmt: skip


def test_a_compiled_loop_is_code_behind_its_node(monkeypatch):
    """For the nodes that use it."""
    from stages.clean.gopher_repetition import GopherRepetition
    from stages.dedup.minhash import MinHashDedup

    read = Path.read_bytes
    for node, behind in (
        (MinHashDedup, {"kernel.py", "tokenise.py", "clusters.py", "constants.py", "compile.py"}),
        (GopherRepetition, {"ngrams.py", "cuts.py", "compile.py"}),
    ):
        seen = set()
        with monkeypatch.context() as watched:
            watched.setattr(Path, "read_bytes", lambda path, seen=seen: seen.add(path) or read(path))
            drift.look_again()
            drift.code_of(node(docs=Node()))
        assert {path.name for path in seen if path.parent.name == "loops"} - {"__init__.py"} == behind


def test_a_node_that_no_file_holds_has_a_hash():
    """Defined in a notebook, say."""
    code = (
        "from dataclasses import dataclass\n"
        "from pipeline.driver.drift import code_of\n"
        "from pipeline.contract import Node\n"
        "@dataclass(frozen=True, kw_only=True, eq=False)\n"
        "class Mine(Node): pass\n"
        "print(len(code_of(Mine()).digest))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "16", found.stderr


def test_no_import_is_overlooked():
    for folder in ("stages", "models", "pipeline"):
        for path in (Path(drift.__file__).parents[2] / folder).rglob("*.py"):
            code = path.read_bytes()
            items = [item for item in ast.walk(ast.parse(code)) if isinstance(item, ast.Import | ast.ImportFrom)]
            names = {a.name for item in items if isinstance(item, ast.Import) for a in item.names}
            names |= {item.module for item in items if isinstance(item, ast.ImportFrom) and item.module}
            assert names <= set(modules.imports(code, str(path), "")), path


@pytest.mark.parametrize(
    "kept",
    ["scratch/checkpoints/step_0000000002/checkpoint.json", "scratch/pieces/rows/all/0", "receipts/rows/all.json"],
)
def test_what_is_kept_of_a_half_done_node_is_not_gone_on_with_under_another_library(tmp_path, monkeypatch, kept):
    """A checkpoint of a training and pieces of a shard have no receipt."""
    (tmp_path / "a.txt").write_text("a text\n")
    store = LocalStore(str(tmp_path / "store"))
    read = Read(paths=(str(tmp_path / "a.txt"),), trust="listing")
    node = Map(docs=read, fn="json:loads", writes={"letters": "int32"})
    state = Ledger(build([node]), store)
    check_drift(state, accept=False)
    store.write(f"{state.folder(node)}/{kept}", b"{}")
    check_drift(Ledger(build([node]), store), accept=False)  # under the same one
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == "pyarrow" else version(name))
    drift.look_again()
    with pytest.raises(DriftError, match=r"map: a half-done node: pyarrow was .* and is 99\.0 since it began"):
        check_drift(Ledger(build([node]), store), accept=False)
    check_drift(Ledger(build([node]), store), accept=True)
    noted = drift.CodeIdentity.from_bytes(store.read(f"{state.folder(node)}/{drift.NOTE}"))
    assert noted.mixed
    assert noted.libraries["pyarrow"] == "99.0"


def test_torch_is_behind_a_training_and_not_in_its_name():
    node = Pretrain(rows=Node(), model=Llama("1m"))
    assert "torch" not in node.libraries
    assert drift.code_of(node).libraries["torch"] == metadata.version("torch")
