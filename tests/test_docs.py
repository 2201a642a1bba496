"""Every code block of README, CONTRIBUTING and docs is executed.

`python` blocks of one page run one after the other in one process, in an empty folder; `bash` blocks line by line
with the installed command on PATH; `yaml` blocks that hold a recipe are loaded and planned. `text` is not code. A
line that needs a cluster (it names an `--address`) is checked to the last option, and run by `tests/clusters`. `make`
lines are run by whoever runs this test, so of them it is checked only that make knows the target.
"""

from __future__ import annotations

import gzip
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [
        *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "clusters/README.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
    if path.exists()
)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "bash", "yaml", "text", "json"}


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(page.read_text()) if found == language]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An empty folder with a few files of text for the commands to work on."""
    place = tmp_path_factory.mktemp("newcomer")
    corpus = place / "corpus"
    corpus.mkdir()
    with gzip.open(ROOT / "recipes" / "corpus" / "corpus-00.jsonl.gz", "rt") as pages:
        (corpus / "pages.jsonl").write_text("".join(itertools.islice(pages, 80)))
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_fence_names_its_language(page):
    for language, body in FENCE.findall(page.read_text()):
        assert language in LANGUAGES, f"a block of {language or 'no language'}: {body[:80]}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_run(page, folder):
    code = "\n\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=lambda p: str(p.relative_to(ROOT)))
def test_recipes_in_pages_can_be_planned(page, folder):
    for i, body in enumerate(blocks(page, "yaml")):
        if "nodes:" not in body:
            continue
        (folder / f"page-{i}.yaml").write_text(body)
        run(["siftloom", "plan", f"page-{i}.yaml", "--json"], folder)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "bash")], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_run(page, folder):
    for body in blocks(page, "bash"):
        for line in commands(body):
            check(line, folder)


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
        run(words, folder)


def run(words: list[str], folder: Path) -> str:
    wide = environment() | {"COLUMNS": "200"}
    done = subprocess.run(words, cwd=folder, env=wide, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout
