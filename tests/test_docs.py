"""Every code block of README, CONTRIBUTING and docs is executed, page by page and in the order of the page.

Each page has a folder of its own with a few files in `corpus/`. `python` blocks of one page share a process; `bash`
blocks run line by line, what only reads in this process and the rest with the installed command on PATH; `yaml` blocks
that hold a recipe are loaded and planned; `text` is not code. A `siftloom run` or `.run()` that does not need Ray (it
gives no `cpus`) is done without it, by `--here`. A line that needs a cluster (it names an `--address`) is checked to
the last option, and run by `tests/clusters`. `make` lines are run by whoever runs this test, so of them it is checked
only that make knows the target. The cells of a notebook are blocks of `python`.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.siftloom.command_line import LIGHT, siftloom

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [
        *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "clusters/README.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docs").rglob("*.ipynb"),
    ]
    if path.exists()
)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"# (\S+\.yaml)\n")  # the first line of a recipe that the reader saves for the commands below
LANGUAGES = {"python", "bash", "yaml", "text", "json"}
# Their blocks run pipelines for a quarter of a minute and more.
LONG = (
    "docs/tutorial.md",
    "docs/notebook.ipynb",
    "docs/recipes.md",
    "docs/howto/thresholds.md",
    "docs/howto/own_node.md",
)


# Runs blocks that come as JSON lines, with the value of a last expression shown as a notebook shows it.
INTERPRETER = """
import ast, json, sys

def choose_here():
    from siftloom import Pipeline
    run = Pipeline.run
    Pipeline.run = lambda self, **how: run(self, **({"here": not {"cpus", "address"} & {*how}} | how))

names = {"__name__": "__main__"}
for number, line in enumerate(sys.stdin):
    if not number:
        choose_here()
    tree = ast.parse(json.loads(line))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "block", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "block", "eval"), names)
        getattr(value, "_repr_html_", value.__repr__)()
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of a page, in order."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text())["cells"]
        return [("python", "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    return [(language, textwrap.dedent(body)) for _, language, body in FENCE.findall(page.read_text())]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a few files of text for the blocks to work on."""
    (tmp_path / "corpus").mkdir()
    with gzip.open(ROOT / "recipes" / "corpus" / "corpus-00.jsonl.gz", "rt") as pages:
        for name, rows in (("corpus/pages.jsonl", 80), ("april/pages.jsonl", 10)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("".join(itertools.islice(pages, rows)))
    return tmp_path


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_fence_names_its_language(page):
    for language, body in blocks(page):
        assert language in LANGUAGES, f"a block of {language or 'no language'}: {body[:80]}"


def with_blocks() -> list[Any]:
    return [
        pytest.param(page, marks=[pytest.mark.long] if named(page) in LONG else [], id=named(page))
        for page in PAGES
        if {"python", "bash", "yaml"} & dict(blocks(page)).keys()
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", with_blocks())
def test_blocks_run(page, folder):
    python = subprocess.Popen(
        [sys.executable, "-c", INTERPRETER], cwd=folder, env=environment(), text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    for number, (language, body) in enumerate(blocks(page)):
        if language == "python":
            assert python.stdin is not None
            python.stdin.write(json.dumps(f"{body}\nprint('block', {number})") + "\n")
            python.stdin.flush()
            wait_for(python, f"block {number}")
        elif language == "bash":
            for line in commands(body):
                check(line, folder)
        elif language == "yaml" and "nodes:" in body:
            named_so = SAVED.match(body)
            name = named_so[1] if named_so else f"page-{number}.yaml"
            (folder / name).write_text(body)
            run(["siftloom", "plan", name, "--json"], folder)
    rest, _ = python.communicate(timeout=60)
    assert python.returncode == 0, rest


def wait_for(python: subprocess.Popen, mark: str) -> None:
    """Read the output of a block to its mark; what stands before is the trace of a failure."""
    said = []
    assert python.stdout is not None
    for line in python.stdout:
        if line.strip() == mark:
            return
        said.append(line)
    raise AssertionError("".join(said)[-3000:])


def commands(body: str) -> list[str]:
    """Command lines without comments, with continuations joined."""
    lines = body.replace("\\\n", " ").splitlines()
    bare = (re.sub(r"\s+#.*$", "", raw).strip() for raw in lines)
    return [line for line in bare if line and not line.startswith("#")]


def check(line: str, folder: Path) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        run(["make", "-n", *words[1:]], ROOT)
    elif words[0] in ("git", "cd", "pip", "export", "ray", "kubectl", "sbatch", "ssh"):
        return  # somebody else's command, or one that tests/clusters runs against a real head
    elif "--address" in words:
        options = run(["siftloom", words[1], "--help"], folder)
        for option in [word for word in words if word.startswith("--")]:
            assert option in options, f"{line}: no option {option}"
    else:
        assert words[0] == "siftloom", f"a command that no test knows how to run: {line}"
        chooses = words[1] == "run" and not {"--here", "--cpus"} & {*words}
        run([*words, "--here"] if chooses else words, folder)


def run(words: list[str], folder: Path) -> str:
    if words[0] == "siftloom" and words[1] in LIGHT:
        return siftloom(*words[1:], cwd=folder).stdout
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


def test_every_page_is_in_the_navigation_of_the_site():
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 25
    assert pages <= named
