"""Killing a driver with all it started, and seeing what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus import bytes_of, times_of

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
    driver = subprocess.Popen(
        command, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SIFTLOOM_KILL": kill, "SIFTLOOM_KILL_MARK": str(mark)},
    )  # fmt: skip
    output = driver.communicate(timeout=300)
    assert driver.returncode in (0, -signal.SIGKILL), (kill, driver.returncode, *output)
    assert mark.exists() == (driver.returncode != 0)
    wait_for_the_end_of(driver.pid)
    return driver.returncode != 0


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
    done = subprocess.run(
        command, start_new_session=True, capture_output=True, text=True, timeout=500, env={**os.environ, **environment}
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


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
