"""The command as a user types it, in this process or in one of its own, and a few documents to run it on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

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


# They start no Ray, and what they leave in a process is taken away (`_in_this_process`).
LIGHT = {
    "init", "plan", "budget", "status", "runs", "report", "why", "removed", "whatif", "diff", "verify", "clean",
    "schema", "help",
}  # fmt: skip


def siftloom(*words: object, cwd: Path, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and checks its exit code: in this process where it starts no Ray."""
    typed = [*map(str, words)]
    light = typed[0] in LIGHT or (typed[0] in ("run", "ablate") and "--here" in typed)
    done = _in_this_process(typed, cwd, more) if light else in_its_own(*typed, cwd=cwd, **more)
    assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def in_its_own(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "siftloom", *words], cwd=cwd, env=environment(**more),
        text=True, capture_output=True, timeout=280,
    )  # fmt: skip


def _in_this_process(words: list[str], cwd: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """All of the command but the start of Python."""
    from siftloom.cli import main

    out, err, code = io.StringIO(), io.StringIO(), None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        warnings.catch_warnings(), mock.patch.dict(os.environ, {**environment(), **more}),
        mock.patch.object(sys, "path", [str(ROOT), *sys.path]), mock.patch.object(main, "leave_out"),
        mock.patch.object(sys, "argv", [str(ROOT / "siftloom" / "__main__.py"), *words]),
    ):  # fmt: skip
        try:
            main.main()
        except SystemExit as left:
            code = left.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for name, module in [*sys.modules.items()]:  # a user's, which lie in the working folder, but not in ours
                places = Path(getattr(module, "__file__", None) or "/").resolve().parents
                if Path(cwd).resolve() in places and ROOT not in places:
                    del sys.modules[name]
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


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
