"""What is printed: results to standard output, progress and errors to standard error.

With `--json` standard output holds JSON only: one object, or for `run` one object a line.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from pipeline.errors import SiftloomError, UserError
from pipeline.files.address import Address
from pipeline.safe_text import visible, visible_json


def say(text: str = "") -> None:
    """Print a line. Documents and file names may hold characters that steer a terminal, so none is printed as it is."""
    print(visible(text), flush=True)


def note(text: str) -> None:
    """Print a remark on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def begin(text: str, *, as_json: bool = False) -> None:
    """Say what a command does before it imports anything that takes time, on standard error; not with `--json`."""
    if not as_json:
        note(f"{text}...")


def say_json(value: Any) -> None:
    """Print one object on one line; what JSON has no form for is written as text."""
    print(visible_json(value), flush=True)


def confirm(question: str) -> bool:
    """Ask on a terminal. Return whether the answer is yes; where nobody can answer it is no."""
    if not sys.stdin.isatty():
        say(f"{question} Nobody can answer here; say --yes")
        return False
    return input(f"{visible(question)} [y/N] ").strip().lower() in ("y", "yes")


def complain(error: BaseException, *, as_json: bool = False) -> int:
    """Print an error with its notes. Return the exit code."""
    notes = list(getattr(error, "__notes__", ()))
    if as_json:
        parts = {key: getattr(error, key) for key in ("place", "found", "expected", "then") if hasattr(error, key)}
        say_json({"error": type(error).__name__, "message": str(error), **parts, "notes": notes})
    for line in (str(error), *notes):
        note(f"error: {line}")
    return error.exit_code if isinstance(error, SiftloomError) else 1


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """A table on standard output: aligned on a terminal and in a pipe, nothing cut off in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(titles):
        drawn.add_column(title, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text("" if cell is None else visible(str(cell))) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        wide = Console(width=10_000)
        console = Console(highlight=False, width=wide.measure(drawn).maximum)
    console.print(drawn)


@contextlib.contextmanager
def listening(
    store: str | Address, name: str, *, stream: TextIO | None, as_json: bool = False, more: Any = None
) -> Iterator[Any]:
    """A watcher for one run: the event log and the numbers of a cluster always, and a table, lines or JSON lines on
    `stream`.
    """
    from pipeline.files.open_store import open_store
    from pipeline.progress.lines import JsonLines, ProgressLines
    from pipeline.progress.meters import Meters
    from pipeline.progress.recorder import Recorder
    from pipeline.progress.watcher import Watchers

    watchers: list[Any] = [Recorder(open_store(store), name), Meters()]
    stream = _own_file(stream)
    if stream is not None and as_json:
        watchers.append(JsonLines(stream))
    elif stream is not None and stream.isatty():
        from rich.console import Console

        from pipeline.progress.table import LiveTable

        watchers.append(LiveTable(Console(file=stream)))
    elif stream is not None:
        watchers.append(ProgressLines(stream))
    watcher = Watchers(*watchers)
    try:
        yield Watchers(watcher, more) if more is not None else watcher
    finally:
        watcher.close()


def _own_file(stream: TextIO | None) -> TextIO | None:
    """Return the stream on a file descriptor of its own: while Ray starts, that of standard error leads nowhere."""
    try:
        return None if stream is None else os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # not a file, as in a notebook
        return stream


def find_store(given: str | None, located: str | None = None, written: str | None = None) -> Address:
    """Return the store of a command: `--store`, else the recipe's, else `$SIFTLOOM_STORE`, else `runs`.

    Inside a cluster job the working directory is a copy that goes with the job, so a relative store is an error.
    """
    text = given or written or os.environ.get("SIFTLOOM_STORE") or "runs"
    address = Address(text)
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not address.remote and not os.path.isabs(text):
        raise UserError(
            f"store {text}",
            "a relative path inside a cluster job",
            "a folder that every node of the cluster shares, or a URI such as s3://bucket/runs",
            "name it with --store",
        )
    return Address((located or text) if given is None and written else text)
