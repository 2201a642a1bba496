"""What a change costs: exactly the nodes that it can move, and of those only what is not known already."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from corpus import times_of, write_corpus
from nodes import Lines, Long, Vowels

from models import Llama
from pipeline.contract import Node
from pipeline.driver import drift, modules
from pipeline.driver.execute import Options, run
from pipeline.driver.progress import Started
from pipeline.errors import DriftError, RecipeError
from pipeline.graph import build
from stages.lines.line_dedup import LineDedup
from stages.map import Map

BELOW = {
    "long": ["long", "strip", "vowels", "twins", "tally", "common", "count"],
    "vowels": ["vowels", "twins", "tally", "common", "count"],
    "twins": ["twins", "tally", "common", "count"],
    "common": ["common", "count"],
    "count": ["count"],
}


@pytest.mark.parametrize(
    ("label", "field", "old", "new"),
    [
        ("long", "min_chars", 4, 6),  # a threshold
        ("vowels", "letters", '"aeiou"', '"aeiouy"'),
        ("twins", "keep_last", "false", "true"),
        ("common", "best", 20, 5),
        ("count", "place", '"task"', '"driver"'),
    ],
)
def test_the_plan_names_the_field_and_what_stands_on_it(finished, label, field, old, new):
    value = {"true": True}.get(new, new.strip('"') if isinstance(new, str) else new)
    entries = finished.plan(**{label: {field: value}})
    todo = [name for name, entry in entries.items() if entry.action != "reuse"]
    assert todo == BELOW[label]
    assert entries[label].action == "run"
    assert entries[label].why == f"{field}: {old} -> {new}"
    parents = {"tally": "twins", "count": "common"}
    for name in todo[1:]:
        assert entries[name].why.endswith("changed"), entries[name].why
        assert parents.get(name, "") in entries[name].why


@pytest.mark.parametrize("field", [{"pause": 0.5}, {"marks": "/elsewhere"}])
def test_a_runtime_field_changes_nothing(finished, field):
    assert {entry.action for entry in finished.plan(long=field).values()} == {"reuse"}


def test_a_changed_threshold_calls_no_scorer(copy, marks):
    folder, count = marks
    run = copy.run(long={"min_chars": 9, "marks": folder})
    assert count() == 0
    assert run.name == "whole@2", "another recipe is another run"
    lengths = run["long"].rows(["id", "chars"])["chars"].to_pylist()
    assert min(lengths) >= 9
    reasons = run["long"].removed(own=True)
    assert set(reasons["threshold"].to_pylist()) == {9.0}


def test_a_phase_may_decline_the_scores_that_there_are(copy, marks):
    folder, count = marks
    copy.run(long={"min_chars": 9, "marks": folder, "reuse": False})
    assert count() == sum(-(-rows // 50) for rows in [120] * 4), "every batch of every shard is scored again"


def test_copied_scores_are_the_bytes_that_a_fresh_run_makes(copy, tmp_path, marks):
    changed = {"long": {"min_chars": 9}, "vowels": {"least": 0.2}}
    copy.run(**changed)
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(**changed)
    assert fresh.bytes().items() <= copy.bytes().items()


def test_scores_of_a_text_that_other_documents_decide_are_not_taken_over(tmp_path, local_ray):
    """What `line_dedup` leaves of a document hangs on the others that are alive, and on its thresholds."""
    paths = tmp_path / "pages.txt"
    paths.write_text("aaaa bcd\nbcd bcd xyz\nfew\naaaa bcd\n")

    def shares(store: str, **fields: Any) -> list[float]:
        kept = LineDedup(docs=Long(docs=Lines(paths=(str(paths),)), min_chars=1), **fields)
        graph = build([Vowels(docs=kept, least=0.0, most=1.0)])
        found = run(graph, name="pages", store=str(tmp_path / store), options=Options(cpus=1))
        return found["vowels"].rows(["id", "vowels"])["vowels"].to_pylist()

    shares("store", keep="none")
    assert shares("store", keep="first") == shares("fresh", keep="first")


def test_only_rows_that_were_never_scored_are_scored(finished, tmp_path, marks):
    folder, count = marks
    store = type(finished)(tmp_path / "store", finished.paths)
    strict = store.run(name="strict", long={"min_chars": 12})
    loose = store.run(name="loose", long={"min_chars": 6, "marks": folder})
    assert count() == 0  # `long` sees every row of the base, and all of them are known
    # `vowels` had seen only what the first `long` let through; the rest is computed, and both are right.
    rows = loose["vowels"].rows(["text", "vowels"]).to_pylist()
    assert len(rows) > len(strict["vowels"].rows(["id"])) > 0
    for row in rows:
        share = sum(c in "aeiou" for c in row["text"]) / len(row["text"])
        assert row["vowels"] == pytest.approx(share, rel=1e-6)


def test_a_phase_whose_fields_are_the_same_is_linked(copy, marks):
    folder, count = marks
    run = copy.run(twins={"keep_last": True, "marks": folder})
    assert count() == 0
    twins = [path for path in (copy.store / "nodes").iterdir() if path.name.startswith("twins-")]
    files = [{p.name: p.stat().st_ino for p in (path / "data" / "keys").iterdir()} for path in twins]
    assert len(files) == 2
    assert files[0] == files[1]
    # ... and the phases behind it are this node's own: the last copy stays now.
    assert len(set(run["twins"].rows(["text"])["text"].to_pylist())) == len(run["twins"].rows(["id"]))
    assert run["twins"].rows(["id"])["id"].to_pylist() != copy.open("whole@1")["twins"].rows(["id"])["id"].to_pylist()


def test_a_phase_with_another_declared_field_is_not_linked(copy, marks):
    folder, count = marks
    copy.run(twins={"ranges": 2, "marks": folder})
    assert count() == 4


def test_linked_bytes_are_those_of_a_fresh_run(copy, tmp_path):
    copy.run(twins={"keep_last": True})
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(twins={"keep_last": True})
    assert fresh.bytes().items() <= copy.bytes().items()


def test_scores_and_phases_of_other_code_are_not_taken_over(copy, marks):
    folder, count = marks
    for label in ("long", "twins"):
        path = copy.store / copy.open()[label].folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "0" * 16}))
    copy.run(long={"min_chars": 9, "marks": folder})
    scored = count()
    assert scored >= 4
    copy.run(twins={"keep_last": True, "marks": folder})
    assert count() == scored + 4


def behind(fn: str) -> drift.Code:
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

    node = MinHashDedup(docs=Node()) if name.endswith("npz") else Export(model=Node())
    drift.look_again()
    before, read = drift.code_of(node), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * path.as_posix().endswith(name))
    drift.look_again()
    after = drift.code_of(node)
    monkeypatch.undo()
    drift.look_again()
    assert before.changes(after) == "its code has changed"


def test_the_modules_of_values_in_fields_are_code(monkeypatch):
    """No import leads from `pretrain` to an objective of the user's."""
    from models.objectives.emo import Emo
    from stages.training.pretrain import Pretrain

    node = Pretrain(rows=Node(), model=Llama("1m"), objective=Emo())
    files = drift._walked(drift._start(node)).files
    assert any(path.as_posix().endswith("models/objectives/emo_losses.py") for path in files)


@pytest.mark.parametrize("damage", ["manifest", "receipt", "gone", "cut", "altered"])
@pytest.mark.parametrize(
    ("label", "phase", "changed"), [("long", "rows", {"min_chars": 9}), ("twins", "keys", {"keep_last": True})]
)
def test_what_is_damaged_in_another_run_is_not_taken_over_and_stops_nothing(
    copy, tmp_path, label, phase, changed, damage
):
    view = copy.open()[label]
    key = view.keys(phase)[1]
    path = view.path(phase, key, ".parquet")
    content = path.read_bytes()
    if damage == "manifest":
        (copy.store / view.folder / "manifest.json").write_text("{")
    elif damage == "receipt":
        (copy.store / view.folder / "receipts" / phase / f"{key}.json").write_text("{")
    elif damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-7])
    elif label == "twins":
        pytest.skip("linked as it is, under its digest, which `verify` compares")
    else:
        table = pq.read_table(path)
        other = pc.add(table["chars"], 1).cast("int32")
        pq.write_table(table.set_column(table.column_names.index("chars"), "chars", other), path)
    copy.run(name="other", **{label: changed})
    fresh = type(copy)(tmp_path / "fresh", copy.paths)
    fresh.run(name="other", **{label: changed})
    assert fresh.bytes().items() <= copy.bytes().items()


def test_a_phase_that_has_read_other_bytes_is_not_linked(copy, marks):
    """Its input was made anew since, by a node that cannot promise the same bytes again."""
    folder, count = marks
    for label, phase in (("vowels", "rows"), ("strip", "rows")):
        view = copy.open()[label]
        path = copy.store / view.folder / "receipts" / phase / f"{view.keys(phase)[2]}.json"
        form = json.loads(path.read_text())
        path.write_text(json.dumps(form | {"facts": form["facts"] | {"made": "anew"}}))
    copy.run(name="other", twins={"keep_last": True, "marks": folder})
    assert count() == 1


def test_the_reason_is_kept_when_a_changed_recipe_is_run(copy):
    """The label of the run is taken before the plan is made, and is no run to compare with."""
    whys = {}

    class Watcher:
        def notify(self, event):
            if isinstance(event, Started):
                whys.update({entry.name: entry.why for entry in event.plan.entries})

    graph = copy.graph(vowels={"least": 0.2})
    found = run(graph, name="whole", store=str(copy.store), options=Options(cpus=2), watcher=Watcher())
    assert found.name == "whole@2"
    assert whys["vowels"] == "least: 0.1 -> 0.2"
    assert whys["twins"] == "vowels changed"


def test_another_line_in_one_file_does_the_others_again_but_knows_why(copy, tmp_path):
    paths = write_corpus(tmp_path / "in")
    (tmp_path / "in" / "part-03.txt").write_text("a new line of text\n")
    entries = type(copy)(copy.store, paths).plan()
    assert entries["docs"].action == "run"
    assert entries["docs"].why == "not run yet"


def test_a_comment_in_the_code_is_a_notice_and_a_half_done_node_is_not_resumed(copy, monkeypatch):
    assert not any(entry.notices for entry in copy.plan().values())
    read = Path.read_bytes
    edited = lambda path: read(path) + (b"\n# another comment\n" if path.name == "nodes.py" else b"")  # noqa: E731
    monkeypatch.setattr(Path, "read_bytes", edited)
    try:
        entries = copy.plan()
        assert {entry.action for entry in entries.values()} == {"reuse"}
        assert all("its code has changed since it ran" in entry.notices[0] for entry in entries.values())
        before = times_of(copy.store)
        copy.run()
        assert times_of(copy.store) == before
        folder = copy.open()["twins"].folder
        (copy.store / folder / "manifest.json").unlink()
        with pytest.raises(DriftError, match="twins: a half-done node: its code has changed since it began"):
            copy.run()
    finally:
        monkeypatch.undo()
    copy.run()
    assert times_of(copy.store) == before


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
    assert {"training/worker.py", "models/lost.py", "models/attention.py", "tokens/rows.py"} <= seen
    assert {path.split("/")[0] for path in seen} <= {"pipeline", "stages", "models", "hf", "training", "tokens"}


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
