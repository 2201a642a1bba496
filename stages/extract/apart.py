"""Extraction in a process of its own, started again when a page has ended it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from pipeline.errors import DataError
from stages.extract.child import receive, send
from stages.extract.engines import Extracted


class Failed(Exception):
    """A page gave no text; the argument is the reason (`time_limit`, `crashed`, `parser_error`)."""


class Apart:
    """`seconds`: CPU time that one page may take."""

    def __init__(self, engine: str, main_content: bool, seconds: float) -> None:
        self._command = [sys.executable, "-m", "stages.extract.child", engine, str(main_content), str(seconds)]
        self._process: subprocess.Popen[bytes] | None = None

    def extract(self, html: str) -> Extracted:
        """Text, title and links; raises `Failed`."""
        process = self._process or self._start()
        pages, texts = _pipes(process)
        try:
            send(pages, html.encode("utf-8"))
            answer = receive(texts)
        except BrokenPipeError:
            answer = None
        if answer is None:
            code = self._end()
            raise Failed("time_limit" if code == -signal.SIGPROF else "crashed")
        found = json.loads(answer)
        if isinstance(found, str):
            raise Failed("parser_error")
        text, title, links = found
        return text, title, links

    def _start(self) -> subprocess.Popen[bytes]:
        # the paths that this process imports from: a worker may have been given some after it began
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._said = tempfile.TemporaryFile()  # not a pipe, which nobody empties
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
        )
        self._process = process
        if receive(_pipes(process)[1]) != b"ready":
            code = self._end()
            self._said.seek(0)
            last = self._said.read().decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {code}"]
            raise DataError(
                "extract", f"the parser's process does not start: {last[0]}", "a process that waits for pages"
            )
        return process

    def _end(self) -> int:
        """End the process and wait for it; returns its exit code."""
        process, self._process = self._process, None
        assert process is not None
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass
        return process.wait()

    def __del__(self) -> None:
        if self._process is not None:
            self._end()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[Any, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
