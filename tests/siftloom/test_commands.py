"""The commands over one small finished run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
from command_line import RECIPE, ROOT, Small, environment, siftloom, write_documents

from siftloom import open_run
from siftloom.ask.groups import groups

HEAVY = ("ray", "torch", "numba", "fasttext", "pandas._libs", "datasets", "transformers")


@pytest.mark.parametrize("words", [["--help"], ["plan", "recipes/demo.yaml", "--store", "/nonexistent/store"]])
def test_help_and_plan_import_nothing_heavy(words: list[str]) -> None:
    loaded, _ = imported(words, ROOT)
    assert not loaded & {*HEAVY, "pyarrow", "numpy"}
    if "--help" in words:
        assert not loaded & {"pydantic", "yaml", "stages", "models"}


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["status", "small.yaml"], "reading the state of small.yaml..."),
        (["why", "small.yaml", "letter-1"], "looking for the document in small.yaml..."),
        (["removed", "small.yaml", "distinct"], "reading what distinct removed in small.yaml..."),
        (["whatif", "small.yaml", "plain", "min_words=25"], "reading the scores of plain in small.yaml..."),
        (["diff", "small.yaml", "small.yaml"], "comparing small.yaml with small.yaml..."),
        (["report", "small.yaml"], "drawing the report of small.yaml..."),
        (["verify", "small.yaml"], "checking every file of small.yaml..."),
    ],
)
def test_what_only_reads_says_so_before_it_imports_what_it_needs(small: Small, words: list[str], first: str) -> None:
    loaded, shown = imported(words, small.folder)
    assert shown[0].startswith(first)
    assert not loaded & set(HEAVY)


def imported(words: list[str], folder: Path) -> tuple[set[str], list[str]]:
    """Names of the modules that a command imports, and the lines that it prints, standard error first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "siftloom", *words], cwd=folder, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    shown = [line for line in lines if not line.startswith("import time:")]
    if shown and "numpy" in loaded:  # said before the first of what takes time
        assert lines.index(shown[0]) < next(i for i, line in enumerate(lines) if line.endswith(" numpy"))
    assert "typer" in loaded
    return loaded, [*shown, *done.stdout.splitlines()]


def test_the_report_counts_kept_and_removed_documents_by_language(small: Small) -> None:
    run = open_run(str(small.folder / "kept"), "small")
    table = next(table for table in groups(run) if table["title"] == "Kept and removed by language")
    kept = Counter(run["once"].rows(["lang"])["lang"].to_pylist())
    gone = run["once"].removed().num_rows
    assert {row[0]: row[2] for row in table["rows"] if row[2]} == kept == {"en": 40}
    assert sum(row[3] for row in table["rows"]) == gone == 4
    assert ["de", 1, 0, 1, 0.0] in table["rows"]
    page = Path(small("report", "small.yaml").stdout.strip()).read_text()
    assert "Kept and removed by language" in page


def test_the_same_command_again_does_nothing(small: Small) -> None:
    done = small("run", "small.yaml")
    assert "5 nodes are reused, 0 to do" in done.stderr
    assert "running" not in done.stderr


@pytest.mark.long
def test_run_tells_its_progress_and_nothing_else(tmp_path: Path) -> None:
    """What Ray and fastText have to say never reaches the screen."""
    write_documents(tmp_path / "docs")
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    done = siftloom("run", "small.yaml", "plain", "--cpus", "1", "--json", cwd=tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert {e["node"] for e in events if e["event"] == "node"} == {"docs", "english", "plain"}
    last = [e for e in events if e.get("node") == "english"][-1]
    assert (last["state"], last["rows_in"], last["rows_kept"]) == ("done", 44, 43)
    assert [e["text"] for e in events if e["event"] == "notice"] == ["starting Ray on this machine..."]
    assert events[-1]["event"] == "result"
    assert [step["documents"] for step in events[-1]["funnel"]] == [44, 43, 42]
    assert list(events[-1]["outputs"]) == ["plain"]
    assert Path(events[-1]["report"]).is_file()


@pytest.mark.long
def test_plan_names_the_changed_field_and_what_comes_after(small: Small) -> None:
    assert {n["name"]: n["action"] for n in small.json("plan", "small.yaml")["nodes"]} == dict.fromkeys(
        ("docs", "english", "plain", "distinct", "once"), "reuse"
    )
    nodes = {n["name"]: n for n in small.json("plan", "small.yaml", "-s", "plain.min_words=25")["nodes"]}
    assert [name for name, n in nodes.items() if n["action"] != "reuse"] == ["plain", "distinct", "once"]
    assert "min_words: 20 -> 25" in nodes["plain"]["why"]
    table = small("plan", "small.yaml", "-s", "plain.min_words=25").stdout
    assert re.search(r"plain +gopher_quality +run .*min_words: 20 -> 25", table)


@pytest.mark.long
def test_status_by_name_folder_and_recipe(small: Small) -> None:
    told = small.json("status", "small", "--store", "kept")
    assert told["failed"] == []
    assert all(node["finished"] for node in told["nodes"])
    assert told == small.json("status", "kept/runs/small") == small.json("status", "small.yaml")
    assert "--follow" in small("status", "--help").stdout
    assert "done" in small("status", "small.yaml", "--follow").stdout


def test_report_prints_the_page(small: Small) -> None:
    page = Path(small("report", "small.yaml").stdout.strip())
    assert "<html" in page.read_text(encoding="utf-8")


@pytest.mark.long
def test_the_ledger_holds_every_removed_document(small: Small) -> None:
    import pyarrow.parquet as pq

    said = small.json("removed", "small.yaml", "once", "--to", "ledger.parquet")
    table = pq.read_table(small.folder / "ledger.parquet")
    assert table.column_names == ["id", "node", "rule", "value", "threshold", "duplicate_of"]
    shown = {
        (node, entry["reason"]): entry["count"]
        for node in set(table["node"].to_pylist())
        for entry in small.json("removed", "small.yaml", node)["reasons"]
    }
    rows = table.to_pylist()
    assert Counter((row["node"], row["rule"]) for row in rows) == shown
    assert len({row["id"] for row in rows}) == len(rows) == said["rows"] > 3


def test_removed_and_why_for_every_reason(small: Small) -> None:
    found = {}
    for node in ("english", "plain", "distinct"):
        for entry in small.json("removed", "small.yaml", node, "-n", "9")["reasons"]:
            found[entry["reason"]] = entry
            assert entry["count"] == len(entry["documents"])
    assert {reason: entry["count"] for reason, entry in found.items()} == {
        "language.other": 1, "gopher_quality.min_words": 1, "exact_dedup.copy": 2,
    }  # fmt: skip
    assert found["language.other"]["documents"][0]["text"].startswith("Der Bote")
    for reason, entry in found.items():
        row = entry["documents"][0]
        steps = small.json("why", "small.yaml", row["id"])["steps"]
        (last,) = [step for step in steps if step["state"] == "removed"]
        assert (last["node"], last["reason"], last["value"]) == (row["node"], reason, row["value"])
        assert reason in small("why", "small.yaml", row["id"]).stdout
    short = found["gopher_quality.min_words"]["documents"][0]
    assert (short["value"], short["threshold"]) == (7.0, 20.0)
    assert small("removed", "small.yaml", "once").stdout == "once removed no document\n"


def test_why_by_the_users_own_id_and_with_its_copies(small: Small) -> None:
    # the first of a group is kept, and the first file holds copy-3
    steps = small.json("why", "small.yaml", "copy-3")["steps"]
    assert [step["state"] for step in steps] == ["read", "kept", "kept", "kept", "kept"]
    dedup = next(step for step in steps if step["kind"] == "exact_dedup")
    copy = small.json("why", "small.yaml", "letter-3")["steps"]
    assert dedup["copies"] == [copy[0]["columns"]["id"]]
    assert steps[-1]["columns"]["held_out"] in (True, False)


@pytest.mark.long
def test_why_by_a_piece_of_text(small: Small) -> None:
    by_id = small.json("why", "small.yaml", "letter-5")["steps"]
    assert small.json("why", "small.yaml", "--text", "letter number 5 to")["steps"] == by_id
    assert "2 documents with this text" in small("why", "small.yaml", "--text", "number 3 to", code=1).stderr
    assert "0 documents" in small("why", "small.yaml", "--text", "a whale", code=1).stderr
    assert "an id, or --text" in small("why", "small.yaml", code=1).stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["status", "none", "--store", "kept"], 1, "no run called 'none'"),
        (["why", "small.yaml", "nobody"], 1, "no document 'nobody'"),
        (["removed", "small.yaml", "nodes"], 1, "no node 'nodes'"),
        (["removed", "small.yaml", "plain", "--reason", "x"], 1, "no document was removed for 'x'"),
        (["run", "none.yaml"], 2, "no such file"),
        (["plan", "small.yaml", "nodes"], 2, "node 'nodes': no such node"),
        (["plan", "small.yaml", "-s", "plain.min_word=3"], 2, "did you mean 'min_words'?"),
        (["plan"], 2, "Missing argument"),
        (["plan", "small.yaml", "--cpu", "1"], 2, "No such option"),
        (["sing"], 2, "No such command"),
    ],
)
def test_a_mistake_has_its_exit_code_and_its_words(small: Small, words: list[str], code: int, says: str) -> None:
    done = small(*words, code=code)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_as_json_has_its_parts(small: Small) -> None:
    told = small.json("plan", "small.yaml", "-s", "plain.min_word=3", code=2)
    assert told["error"] == "RecipeError"
    assert told["place"].startswith("-s plain.min_word=3:1:1")


def test_a_recipe_with_several_mistakes_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("nodes:\n  docs: {use: reed}\n  more: {use: read}\n")
    done = siftloom("run", "r.yaml", "--here", cwd=tmp_path, code=2)
    assert "error: r.yaml:2:15: no kind of node 'reed'; did you mean 'read'?" in done.stderr
    assert "error: r.yaml:3:9: read without paths" in done.stderr


def test_a_missing_source_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("nodes:\n  docs: {use: read, paths: [none/*.jsonl]}\n")
    for command in ("plan", "run"):
        done = siftloom(command, "r.yaml", cwd=tmp_path, code=1)
        assert "nothing matches" in done.stderr


@pytest.mark.long
def test_a_held_node_is_not_waited_for(tmp_path: Path) -> None:
    from pipeline.files.open_store import open_store
    from pipeline.results.lease import Leases

    write_documents(tmp_path / "docs")
    (tmp_path / "r.yaml").write_text(RECIPE.partition("  plain:")[0])
    siftloom("run", "r.yaml", "docs", "--here", cwd=tmp_path)
    plan = json.loads(siftloom("plan", "r.yaml", "--json", cwd=tmp_path).stdout)
    english = next(node for node in plan["nodes"] if node["name"] == "english")
    leases = Leases(open_store(str(tmp_path / "kept")))
    try:
        assert leases.acquire(f"nodes/language-{english['fingerprint'][:12]}")
        done = siftloom("run", "r.yaml", "--here", "--no-wait", cwd=tmp_path, code=75)
    finally:
        leases.close()
    assert "another driver holds english" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_prints_the_command_to_resume(tmp_path: Path, number: signal.Signals) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "r.yaml").write_text(RECIPE)
    words = [sys.executable, "-m", "siftloom", "run", "r.yaml", "--here", "--json"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "node":
                process.send_signal(number)
                break
        rest, errors = process.communicate(timeout=200)
    assert process.returncode == 128 + number, errors
    assert "resume with:\n  python -m siftloom run r.yaml --here --json" in errors.lower()
    notices = [e["text"] for e in map(json.loads, rest.splitlines()) if e["event"] == "notice"]
    assert [text for text in notices if text.startswith("stopping: no task is begun any more")]
    states = [e["state"] for e in map(json.loads, rest.splitlines()) if e.get("node") == "once"]
    assert "done" not in states
    siftloom("run", "r.yaml", "--here", cwd=tmp_path)


def test_verify_names_a_damaged_file_and_run_mends_it(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "small.yaml").write_text(RECIPE)
    small = Small(tmp_path)
    small("run", "small.yaml", "--here")
    assert small.json("verify", "small.yaml")["findings"] == []
    victim = next(path for path in sorted(tmp_path.glob("kept/nodes/gopher_quality-*/data/rows/*")))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-3])
    told = small.json("verify", "small.yaml", code=1)
    assert [finding["file"] for finding in told["findings"]] == [str(victim.relative_to(tmp_path / "kept"))]
    small("run", "small.yaml", "--here")
    assert victim.read_bytes() == whole
    small("verify", "small.yaml")


@pytest.mark.long
def test_clean_removes_what_no_run_names(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "r.yaml").write_text(RECIPE.partition("  english:")[0])
    siftloom("run", "r.yaml", "--here", cwd=tmp_path)
    kept = Small(tmp_path)
    assert kept.json("clean", "--store", "kept")["removed"] == []
    stray = tmp_path / "kept/nodes/split-000000000000"
    stray.mkdir()
    (stray / "manifest.json").write_text("{}")
    assert [u["name"] for u in kept.json("clean", "--store", "kept", "--dry-run")["removed"]] == [f"nodes/{stray.name}"]
    assert stray.is_dir()
    assert [u["name"] for u in kept.json("clean", "--store", "kept")["removed"]] == [f"nodes/{stray.name}"]
    assert not stray.exists()
    kept("status", "r.yaml")


@pytest.mark.long
def test_schema_describes_the_demo(small: Small) -> None:
    import yaml

    schema = json.loads(small("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((ROOT / "recipes" / "demo.yaml").read_text()), schema)


def test_doctor_finds_the_rooms_and_a_store_that_cannot_be(small: Small) -> None:
    findings = {f["what"]: f for f in small.json("doctor", "--store", "kept")["findings"]}
    assert findings["module stages"]["found"] == str(ROOT / "stages")
    assert all(f["state"] != "bad" for f in findings.values())
    (small.folder / "file").write_text("")
    bad = small.json("doctor", "--store", "file/store", code=1)["findings"]
    assert [f["what"] for f in bad if f["state"] == "bad"] == [f"store {'file/store'}"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("entry", "where"),
    [(["-m", "siftloom"], ["--cpus", "1"]), (["-c", "from siftloom.cli.main import main; main()"], ["--here"])],
)
def test_a_users_files_take_the_place_of_no_package(tmp_path: Path, entry: list[str], where: list[str]) -> None:
    """Neither in the driver, however it was started, nor in workers, which still find the user's own modules."""
    for name in ("models.py", "pipeline.py", "stages/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('a file of the user')\n")
    (tmp_path / "mine.py").write_text("def marked(row):\n    return {'mark': len(row['text'])}\n")
    write_documents(tmp_path / "docs")
    mapped = "  mine: {use: map, docs: english, fn: 'mine:marked', per: row, reads: [text], writes: {mark: int32}}\n"
    (tmp_path / "r.yaml").write_text(RECIPE.partition("  plain:")[0] + mapped)
    done = subprocess.run(
        [sys.executable, *entry, "run", "r.yaml", *where], cwd=tmp_path, env=environment(),
        text=True, capture_output=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"note: {tmp_path / 'models.py'} has the name of a package of siftloom" in done.stderr


def test_an_error_of_a_users_function_says_where(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def inner(row):\n    raise ValueError('boom')\n\n\ndef outer(row):\n    inner(row)\n"
    )
    write_documents(tmp_path / "docs")
    mapped = "  mine: {use: map, docs: docs, fn: 'mine:outer', per: row, reads: [text], writes: {mark: int32}}\n"
    (tmp_path / "r.yaml").write_text(RECIPE.partition("  english:")[0] + mapped)
    done = siftloom("run", "r.yaml", "--here", cwd=tmp_path, code=1)
    assert f"ValueError: boom at {tmp_path / 'mine.py'}:2 in inner" in done.stderr
    (log,) = (tmp_path / "kept").glob("runs/*/events/*.jsonl")
    traces = [event["trace"] for event in map(json.loads, log.read_text().splitlines()) if event["event"] == "failed"]
    assert all("in outer" in trace and "in inner" in trace for trace in traces)
    assert traces


@pytest.mark.long
def test_help_describes_fields_and_names_the_nearest(small: Small) -> None:
    told = small("help", "language").stdout
    assert "languages to keep, empty = all" in told
    assert "{use: language, docs: ..., keep: [en]}" in told
    assert "did you mean 'language'?" in small("help", "langauge", code=1).stderr
    listed = small("help").stdout
    assert "minhash_dedup" in listed
    assert small("--version").stdout.startswith("siftloom ")


@pytest.mark.long
def test_what_a_document_holds_does_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    rows = [{"name": "a\x1b]0;title\x07", "text": "\x1b[2J\x9b31m bad " + "word " * 9}]
    (tmp_path / "docs" / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(RECIPE.partition("  distinct:")[0].replace("min_words: 20", "allow_empty: true"))
    told = siftloom("init", "docs", "-o", "other.yaml", cwd=tmp_path).stdout
    siftloom("run", "r.yaml", "-s", "english.keep=[]", "-s", "english.min_probability=0", "--here", cwd=tmp_path)
    told += siftloom("removed", "r.yaml", "plain", cwd=tmp_path).stdout
    told += siftloom("removed", "r.yaml", "plain", "--json", cwd=tmp_path).stdout
    told += siftloom("why", "r.yaml", rows[0]["name"], cwd=tmp_path).stdout
    assert "bad word" in told
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", told)


def test_a_relative_store_inside_a_cluster_job_is_an_error(small: Small) -> None:
    done = small("run", "small.yaml", code=1, RAY_JOB_CONFIG_JSON_ENV_VAR="{}")
    assert "a relative path inside a cluster job" in done.stderr
    assert "--store" in done.stderr
