"""The command as a user types it: real processes, and a few documents to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: small
store: kept
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"], id: name}
  english: {use: language, docs: docs, keep: [en]}
  plain: {use: gopher_quality, docs: english, min_words: 20}
  distinct: {use: exact_dedup, docs: plain}
  once: {use: split, docs: distinct, held_out: 0.1}
"""
PROSE = (
    "The carrier brought letter number {n} to the old house by the river on a cold morning in March, and the "
    "family read it aloud at breakfast. It said that the ship had come home, that all of the men were well, and "
    "that the captain would be glad to have their answer before the end of the week."
)


def environment(**more: str) -> dict[str, str]:
    """The checkout is importable, whatever the working directory is."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", **more}


def siftloom(*words: object, cwd: Path, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and checks its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "siftloom", *map(str, words)], cwd=cwd, env=environment(**more),
        text=True, capture_output=True, timeout=280,
    )  # fmt: skip
    assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def write_documents(folder: Path) -> None:
    """40 letters, of which two come twice, one German page, one line too short: all in two files."""
    folder.mkdir(parents=True)
    rows = [{"name": f"letter-{n}", "text": PROSE.format(n=n)} for n in range(40)]
    rows += [{"name": f"copy-{n}", "text": PROSE.format(n=n)} for n in (3, 17)]
    german = "Der Bote brachte den Brief an einem kalten Morgen im März in das alte Haus am Fluss. " * 4
    rows += [{"name": "german", "text": german}, {"name": "short", "text": "The river was cold in the morning."}]
    for number in range(2):
        text = "".join(json.dumps(row) + "\n" for row in rows[number::2])
        (folder / f"{number}.jsonl").write_text(text, encoding="utf-8")


@dataclass
class Small:
    """A folder with a recipe whose run is finished."""

    folder: Path

    def __call__(self, *words: object, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        return siftloom(*words, cwd=self.folder, code=code, **more)

    def json(self, *words: object, code: int = 0) -> dict:
        return json.loads(self(*words, "--json", code=code).stdout)
