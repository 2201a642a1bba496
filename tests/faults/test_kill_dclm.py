"""SIGKILL while a model is asked DCLM's tasks: no task is asked twice, and workers leave the bytes of one process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import changed, receipted, run_to_the_end, run_until_killed
from small_models import folder_of

RECIPE = """
name: core
nodes:
  folder: {use: model_folder, paths: ["model/*"]}
  core: {use: dclm_eval, model: folder, paths: [tasks], batch_rows: 4}
"""
pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def command(folder: Path, store: Path, *how: str) -> list[str]:
    return [sys.executable, "-m", "siftloom", "run", str(folder / "core.yaml"), "--store", str(store), *how]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    folder_of(folder / "model")
    (folder / "tasks").mkdir()
    texts = [f"the {word} sat on the mat" for word in ("cat", "dog", "log", "text", "word")]
    files = {
        "copa": [{"query": text, "choices": ["a dog", "the log"], "gold": n % 2} for n, text in enumerate(texts)],
        "winograd_wsc": [
            {"context_options": [text, text[4:]], "continuation": "and", "gold": n % 2} for n, text in enumerate(texts)
        ],
        "lambada_openai": [{"context": text, "continuation": "and"} for text in texts],
    }
    for name, items in files.items():
        (folder / "tasks" / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "core.yaml").write_text(RECIPE)
    run_to_the_end(command(folder, folder / "store", "--here"))
    return folder


@pytest.mark.parametrize(("kill", "asked"), [("dclm_eval-:after-receipt:2", 2), ("dclm_eval-:before-receipt", 0)])
def test_a_killed_run_goes_on_to_the_same_bytes(folder, tmp_path, kill, asked):
    store = tmp_path / "store"
    run_until_killed(command(folder, store, "--here"), kill, tmp_path / "killed")
    before = receipted(store)
    assert len([name for name in before if "dclm_eval-" in str(name)]) >= asked
    run_to_the_end(command(folder, store, "--here"))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(folder / "store")


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_workers_leave_the_bytes_of_one_process(folder, tmp_path, cpus):
    run_to_the_end(command(folder, tmp_path / "store", "--cpus", cpus))
    assert bytes_of(tmp_path / "store") == bytes_of(folder / "store")
