"""Killing a driver with all it started, and seeing what is left of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from corpus import bytes_of, times_of

# A recipe is killed nine times, and most of what each of its drivers does is to import. Those that work in their own
# process are forked from one that has imported and has done nothing else.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["siftloom.cli.main", "siftloom.run", "stages.training.worker", "stages.loops", "torch._inductor.config",
     "pyarrow.dataset", "pyarrow.parquet", "pyarrow.compute", "numba", "pandas", "scipy", "tokenizers",
     "pytest", __name__]
)  # fmt: skip

PATIENCE = 900  # seconds until a command counts as hanging

# A node's tasks are all committed by the same code, so these are the moments that differ.
MOMENTS = {
    "before its first receipt": "before-data",
    "between data and receipt": "before-receipt",
    "in the middle": "after-receipt",
    "between last receipt and manifest": "before-manifest",
}


@dataclass(frozen=True)
class UnbrokenRecipe:
    """A folder with a recipe, the documents that it reads, and the `store` of a run of it that nothing broke."""

    folder: Path
    name: str

    def command(self, store: Path, *how: str) -> list[str]:
        """The line that runs it in a store: in one process, or as `how` says."""
        recipe = str(self.folder / self.name)
        return [sys.executable, "-m", "siftloom", "run", recipe, "--store", str(store), *(how or ("--here",))]


def run_until_killed(command: Sequence[str], kill: str, mark: Path) -> None:
    """Run a command that is to be killed at a point; it must have been, with every process that it started."""
    assert was_killed(command, kill, mark), kill


def was_killed(command: Sequence[str], kill: str, mark: Path) -> bool:
    """Run a command that is to be killed at a point; return whether it was. Else it ended well and never came there."""
    driver = start(command, SIFTLOOM_KILL=kill, SIFTLOOM_KILL_MARK=str(mark))
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode in (0, -signal.SIGKILL), (kill, driver.returncode, said)
    assert mark.exists() == (driver.returncode != 0)
    wait_for_the_end_of(driver.pid)
    return driver.returncode != 0


class Forked:
    """`python -m siftloom WORDS` in a session of its own, with the words of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = tempfile.NamedTemporaryFile()
        self._process = FORKS.Process(target=_siftloom, args=(words, environment, self._said.name), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        with contextlib.suppress(ProcessLookupError):
            while self.poll() is None and os.getsid(self.pid) != self.pid:
                time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("siftloom", timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self.wait(timeout)
        return Path(self._said.name).read_text(), None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _siftloom(words: Sequence[str], environment: Mapping[str, str], said: str) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["siftloom", *words]
    runpy.run_module("siftloom", run_name="__main__", alter_sys=True)


def start(command: Sequence[str], **more: str) -> subprocess.Popen[str] | Forked:
    """Begin a command in a session of its own."""
    environment = {**os.environ, **more}
    if "--here" in command and command[:3] == [sys.executable, "-m", "siftloom"]:
        return Forked(command[3:], environment)
    return subprocess.Popen(
        command, start_new_session=True, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def processes(driver: int, name: str) -> Iterator[psutil.Process]:
    """Processes that a driver has started, by the beginning of their command line."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(driver).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if words and Path(words[0].split(" ")[0]).name.startswith(name):
                    yield process


def wait_for_the_end_of(session: int, seconds: float = 2) -> None:
    """Ray's workers notice the end of their raylet by themselves; what was only just starting waits longer for it."""
    end = time.monotonic() + seconds
    while left := _members(session):
        if time.monotonic() > end:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def kill_in_each(command: Callable[[Path], Sequence[str]], kills: Sequence[str], whole: Path, folder: Path) -> None:
    """Run a graph in a new store, killed at one point after another; no file that a receipt vouches for changes, and at
    the end its bytes are those of the store `whole`, which nothing has killed.

    Nodes run in no fixed order, so one may have ended before its turn comes: it is killed in the next store.
    """
    left, stores = list(kills), 0
    while left:
        stores += 1
        assert stores <= 4, left
        store, before, missed = folder / f"store-{stores}", {}, []
        for kill in left:
            if not was_killed(command(store), kill, folder / f"{stores}-{kill}".replace(":", "_")):
                missed.append(kill)
            assert changed(before, store) == set(), kill
            before = receipted(store)
        run_to_the_end(command(store))
        assert changed(before, store) == set()
        assert bytes_of(store) == bytes_of(whole)
        assert len(missed) < len(left), missed
        left = missed


def _members(session: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def run_to_the_end(command: Sequence[str], **environment: str) -> str:
    """What it printed."""
    driver = start(command, **environment)
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, said
    return said


def run_while_a_worker_is_killed(command: Sequence[str], kill: str, mark: Path) -> None:
    """Run a command to its end; the worker that reached a point must have died on the way."""
    run_to_the_end(command, SIFTLOOM_KILL=kill, SIFTLOOM_KILL_ALONE="1", SIFTLOOM_KILL_MARK=str(mark))
    assert mark.exists()


def receipted(store: Path) -> dict[str, int]:
    """Name -> modification time of every receipt there is and of every file that one vouches for."""
    times = times_of(store)
    receipts = {name for name in times if "/receipts/" in name}
    keys = {tuple(name.removesuffix(".json").replace("/receipts/", "/data/").rsplit("/", 1)) for name in receipts}
    vouched = {name for name in times for folder, key in keys if name.startswith(f"{folder}/{key}")}
    return {name: times[name] for name in receipts | vouched}


def changed(before: Mapping[str, int], store: Path) -> set[str]:
    after = times_of(store)
    return {name for name in before if after.get(name) != before[name]}
