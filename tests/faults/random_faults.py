"""`python -m tests.faults.random_faults --first 1 --count 20`: what dies, of which part of the job, and when, is drawn.

Each number is one draw of (part, fault, moment), so `--first 17 --count 1` does number 17 again; only the moment then
falls a little elsewhere. A part is taken out of a finished store, the command that makes it anew is hit, and the same
command is given again until it ends well: then every file must be as it was. No traceback may be printed, and nothing
may hang. It prints a line for each, and ends with 1 where one went wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from corpus import bytes_of
from test_kill_recipe import RECIPE, write_documents

from pipeline.run import open_run

PARTS = {
    "cleaning": ("english", "plain", "clean"),
    "dedup": ("distinct", "unique"),
    "tokens": ("tokenizer", "rows"),
    "training": ("dense",),
    "two workers": ("lost",),
    "evaluation": ("eval_dense", "eval_lost", "table", "export_lost"),
}
FAULTS = ("everything", "driver", "worker", "raylet", "head", "terminated", "stopped")
STOPPED = 5.0  # seconds; Ray's heads and raylets wait for longer
TRIES = 3  # of the same command after a fault
PATIENCE = 900  # seconds until a command counts as hanging


@dataclass(frozen=True)
class Job:
    """A finished job, and how to run it."""

    recipe: Path
    store: Path

    def command(self, store: Path) -> list[str]:
        changes = ["-s", "lost.workers=2"]
        return [sys.executable, "-m", "siftloom", "run", str(self.recipe), "--store", str(store), "--on-ray", *changes]

    def without(self, part: str, store: Path) -> None:
        """Copy the finished store without the nodes of a part."""
        shutil.copytree(self.store, store)
        for view in open_run(str(self.store), "three_hundred").nodes:
            if view.label in PARTS[part]:
                shutil.rmtree(store / view.folder)


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"RAY_ADDRESS": "", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, start_new_session=True, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def processes(driver: int, name: str) -> Iterator[psutil.Process]:
    """Processes that a driver has started, by the beginning of their command line."""
    with suppress(psutil.Error):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.Error):
                words = process.cmdline()
                if words and Path(words[0].split(" ")[0]).name.startswith(name):
                    yield process


def hit(driver: subprocess.Popen[str], fault: str, draw: random.Random) -> bool:
    """Do it; whether there was anything to hit."""
    if driver.poll() is not None:
        return False
    if fault == "everything":
        os.killpg(driver.pid, signal.SIGKILL)
    elif fault == "driver":
        driver.kill()
    elif fault == "terminated":
        driver.terminate()
    elif fault == "stopped":
        os.killpg(driver.pid, signal.SIGSTOP)
        time.sleep(STOPPED)
        os.killpg(driver.pid, signal.SIGCONT)
    else:
        found = list(processes(driver.pid, {"worker": "ray::", "raylet": "raylet", "head": "gcs_server"}[fault]))
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            draw.choice(found).kill()
    return True


def end(session: int) -> None:
    """Kill what a driver that was killed has left behind."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session:
                process.kill()


def one(job: Job, number: int, seconds: dict[str, float], folder: Path) -> str:
    """Draw a fault and go through it; what went wrong, empty where nothing did."""
    draw = random.Random(number)
    part, fault, share = draw.choice(list(PARTS)), draw.choice(FAULTS), draw.random()
    store = folder / "store"
    job.without(part, store)
    print(f"{number}: {fault} in {part} after {share * seconds[part]:.1f} s: ", end="", flush=True)
    driver = start(job.command(store))
    with suppress(subprocess.TimeoutExpired):
        driver.wait(share * seconds[part])
    was_hit = hit(driver, fault, draw)
    said = []
    for _ in range(TRIES):
        try:
            said.append(driver.communicate(timeout=PATIENCE)[0])
        except subprocess.TimeoutExpired:
            return f"it hangs; it has said {driver.stdout.read() if driver.stdout else ''}"
        finally:
            end(driver.pid)
        if driver.returncode == 0:
            break
        driver = start(job.command(store))
    else:
        return f"{TRIES} commands did not end it: {said[-1][-3000:]}"
    if "Traceback" in "".join(said):
        return f"a traceback: {''.join(said)[-4000:]}"
    found, expected = bytes_of(store), bytes_of(job.store)
    if different := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        return f"{len(different)} files differ: {different[:5]}"
    print(f"{'hit' if was_hit else 'nothing there to hit'}, {len(said)} commands, equal bytes", flush=True)
    return ""


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--first", type=int, default=1)
    words.add_argument("--count", type=int, default=20)
    asked = words.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="siftloom-faults-") as name:
        folder = Path(name)
        write_documents(folder / "docs")
        shutil.copy(RECIPE, folder)
        job = Job(folder / RECIPE.name, folder / "unbroken")
        whole = start(job.command(job.store))
        said, _ = whole.communicate()
        assert whole.returncode == 0, said
        seconds = {}
        for part in PARTS:  # how long each takes now, so that moments fall into it
            job.without(part, folder / "store")
            began = time.monotonic()
            start(job.command(folder / "store")).communicate()
            seconds[part] = time.monotonic() - began
            assert bytes_of(folder / "store") == bytes_of(job.store)
            shutil.rmtree(folder / "store")
        for number in range(asked.first, asked.first + asked.count):
            if error := one(job, number, seconds, folder):
                wrong += 1
                print(error, flush=True)
            shutil.rmtree(folder / "store")
    print(f"{asked.count} faults, {wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
