"""Extraction in a process of its own, started again when a page has ended it."""

from __future__ import annotations

import marshal
import signal
import subprocess
import sys
import tempfile
from typing import Any

from pipeline.errors import DataError
from stages.bounded import environment
from stages.extract.child import receive, send
from stages.extract.engines import Extracted

# How a process ends that a fault in a parser's own code has ended. Any other end (a kill for want of memory, the time
# limit, an exit) is of the machine as much as of the page.
FAULTS = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}
NO_MEMORY = "memory allocation"  # what Rust says before it aborts for want of memory


class NoText(Exception):
    """A page gave no text; the argument is the reason (`crashed`, `parser_error`)."""


class Apart:
    """`seconds`: CPU time after which a page's process is ended. That is an error and no reason: a reason must not
    depend on the machine.
    """

    def __init__(self, engine: str, main_content: bool, keep_links: bool, seconds: float) -> None:
        self.seconds = seconds
        fields = (engine, str(main_content), str(keep_links), str(seconds))
        self._command = [sys.executable, "-S", "-m", "stages.extract.child", *fields]
        self._process: subprocess.Popen[bytes] | None = None

    def extract(self, html: str, page: str = "a page") -> Extracted:
        """Text, title and links; `page` names it in errors. Raises `NoText`.

        A page that ends its process is tried once more, in a new one: that may have died of something else.
        """
        data = html.encode("utf-8")
        answer = self._answer(data) or self._answer(data)
        if answer is None:
            raise self._death(page, len(html))
        found = marshal.loads(answer)
        if isinstance(found, str):
            raise NoText("parser_error")
        text, title, n_links, links = found
        return text, title, n_links, links

    def _answer(self, page: bytes) -> bytes | None:
        """None: the process has ended, as `_code` and `_said` tell."""
        process = self._process or self._start()
        pages, texts = _pipes(process)
        try:
            send(pages, page)
            answer = receive(texts)
        except BrokenPipeError:
            answer = None
        if answer is None:
            self._code = self._end()
        return answer

    def _death(self, page: str, chars: int) -> Exception:
        """`NoText` where the parser has crashed on a page, else an error that ends the task."""
        last = self._last_words()
        if self._code in FAULTS and NO_MEMORY not in last:
            return NoText("crashed")
        place, smaller = (
            f"extract, {page} of {chars:,} characters",
            "a smaller max_work or max_chars removes such pages",
        )
        if self._code == -signal.SIGPROF:
            return DataError(
                place, f"the parser finds no end in {self.seconds:g} s of CPU, twice", "a page that parsers can end",
                f"raise time_limit, or name the page in `skip`; {smaller} pages too",
            )  # fmt: skip
        how = f"signal {-self._code}" if self._code < 0 else f"exit code {self._code}"
        return DataError(
            place, f"the parser's process ended twice ({how}{': ' if last else ''}{last})", "a process that lives on",
            f"run again where more memory is free, or name the page in `skip`; {smaller} pages too",
        )  # fmt: skip

    def _last_words(self) -> str:
        self._said.seek(0)
        return "".join(self._said.read().decode("utf-8", "replace").strip().splitlines()[-1:])

    def _start(self) -> subprocess.Popen[bytes]:
        self._said = tempfile.TemporaryFile()  # not a pipe, which nobody empties
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment()
        )
        self._process = process
        if receive(_pipes(process)[1]) != b"ready":
            code = self._end()
            last = self._last_words() or f"exit code {code}"
            raise DataError("extract", f"the parser's process does not start: {last}", "a process that waits for pages")
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
