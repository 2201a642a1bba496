"""`python -m tests.faults.random_faults --first 1 --count 20`: what dies, of which part of the job, and when, is drawn.

Each number is one draw of (place, part, fault, moment), so `--first 17 --count 1` does number 17 again; only the moment
then falls a little elsewhere. A part is taken out of a finished store, the command that makes it anew is hit, and the
same command is given again until it ends well: then every file must be as it was. No traceback may be printed, and
nothing may hang. It prints a line for each and a table of the kinds, and ends with 1 where one went wrong. `--on-ray`
is the share of the draws whose job runs on Ray: each takes a minute there, some seconds in the driver's own process.
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
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from corpus import bytes_of
from kill import PATIENCE, Forked, processes, start
from test_kill_recipe import RECIPE, write_documents

from pipeline.run import open_run

os.environ |= {"RAY_ADDRESS": "", "OMP_NUM_THREADS": "1"}

PARTS = {
    "cleaning": ("english", "plain", "clean"),
    "dedup": ("distinct", "unique"),
    "tokens": ("tokenizer", "rows"),
    "training": ("dense",),
    "two workers": ("lost",),
    "evaluation": ("eval_dense", "eval_lost", "table", "export_lost"),
}
FAULTS = {
    "--on-ray": ("everything", "driver", "worker", "raylet", "head", "terminated", "interrupted", "stopped"),
    "--here": ("everything", "terminated", "interrupted", "stopped"),
}
FEW = [f"{label}.{change}" for label in ("dense", "lost") for change in ("steps=12", "checkpoint_every=2")]
STOPPED = 5.0  # seconds; Ray's heads and raylets wait for longer
TRIES = 3  # of the same command after a fault


@dataclass(frozen=True)
class Job:
    """A finished job, and how to run it."""

    recipe: Path
    store: Path
    times: dict[tuple[str, str], float] = field(default_factory=dict)

    def command(self, store: Path, place: str) -> list[str]:
        changes = [*FEW, f"lost.workers={2 if place == '--on-ray' else 1}"]
        words = [word for change in changes for word in ("-s", change)]
        return [sys.executable, "-m", "siftloom", "run", str(self.recipe), "--store", str(store), place, *words]

    def without(self, part: str, store: Path) -> None:
        """Copy the finished store without the nodes of a part."""
        shutil.copytree(self.store, store)
        for view in open_run(str(self.store), "three_hundred").nodes:
            if view.label in PARTS[part]:
                shutil.rmtree(store / view.folder)

    def seconds(self, part: str, place: str, store: Path) -> float:
        """How long a part takes that nothing breaks, so that moments fall into it; it is asked once."""
        if (part, place) not in self.times:
            self.without(part, store)
            began = time.monotonic()
            said, _ = (driver := start(self.command(store, place))).communicate()
            self.times[part, place] = time.monotonic() - began
            assert driver.returncode == 0, said
            assert bytes_of(store) == bytes_of(self.store)
            shutil.rmtree(store)
        return self.times[part, place]


@dataclass(frozen=True)
class Outcome:
    """What became of one draw."""

    kind: str
    was_hit: bool
    wrong: str = ""
    differ: int = 0
    seconds: float = 0.0  # from the hit to the end of the command that ended well


def hit(driver: subprocess.Popen[str] | Forked, fault: str, draw: random.Random) -> bool:
    """Do it; whether there was anything to hit."""
    if driver.poll() is not None:
        return False
    if fault == "everything":
        os.killpg(driver.pid, signal.SIGKILL)
    elif fault == "driver":
        driver.send_signal(signal.SIGKILL)
    elif fault == "terminated":
        driver.send_signal(signal.SIGTERM)
    elif fault == "interrupted":
        driver.send_signal(signal.SIGINT)
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


def one(job: Job, number: int, on_ray: float, folder: Path) -> Outcome:
    """Draw a fault and go through it."""
    draw = random.Random(number)
    place = "--on-ray" if draw.random() < on_ray else "--here"
    part = draw.choice([part for part in PARTS if place == "--on-ray" or part != "two workers"])
    fault, share, store = draw.choice(FAULTS[place]), draw.random(), folder / "store"
    moment = share * job.seconds(part, place, store)
    job.without(part, store)
    print(f"{number}: {fault} {place} in {part} after {moment:.1f} s: ", end="", flush=True)
    driver = start(job.command(store, place))
    with suppress(subprocess.TimeoutExpired):
        driver.wait(moment)
    kind, began = f"{fault} {place}", time.monotonic()
    was_hit = hit(driver, fault, draw)
    said = []
    for _ in range(TRIES):
        try:
            said.append(driver.communicate(timeout=PATIENCE)[0])
        except subprocess.TimeoutExpired:
            return Outcome(kind, was_hit, f"a command hangs; those before it said {''.join(said)[-4000:]}")
        finally:
            end(driver.pid)
        if driver.returncode == 0:
            break
        driver = start(job.command(store, place))
    else:
        return Outcome(kind, was_hit, f"{TRIES} commands did not end it: {said[-1][-3000:]}")
    took = time.monotonic() - began
    if "Traceback" in "".join(said):
        return Outcome(kind, was_hit, f"a traceback: {''.join(said)[-4000:]}")
    found, expected = bytes_of(store), bytes_of(job.store)
    if different := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        return Outcome(kind, was_hit, f"{len(different)} files differ: {different[:5]}", len(different))
    what = "hit" if was_hit else "nothing there to hit"
    print(f"{what}, {len(said)} commands, {took:.1f} s, equal bytes", flush=True)
    return Outcome(kind, was_hit, seconds=took)


def table(outcomes: list[Outcome]) -> str:
    kinds = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind if outcome.was_hit else "nothing there to hit"].append(outcome)
    lines = ["kind                    count  recovered  files that differ  seconds: median    most"]
    for kind, mine in sorted(kinds.items()):
        times = [each.seconds for each in mine if not each.wrong] or [0.0]
        differ = sum(each.differ for each in mine)
        well = sum(not each.wrong for each in mine)
        lines.append(f"{kind:22}  {len(mine):5}  {well:9}  {differ:17}  {median(times):15.1f}  {max(times):6.1f}")
    return "\n".join(lines)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--first", type=int, default=1)
    words.add_argument("--count", type=int, default=20)
    words.add_argument("--on-ray", type=float, default=0.2)
    asked = words.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="siftloom-faults-") as name:
        folder = Path(name)
        write_documents(folder / "docs")
        shutil.copy(RECIPE, folder)
        job = Job(folder / RECIPE.name, folder / "unbroken")
        whole = start(job.command(job.store, "--here"))
        said, _ = whole.communicate()
        assert whole.returncode == 0, said
        with suppress(KeyboardInterrupt):  # it may be stopped before the last: the table is of those that were done
            for number in range(asked.first, asked.first + asked.count):
                outcomes.append(one(job, number, asked.on_ray, folder))
                print(outcomes[-1].wrong, end="\n" if outcomes[-1].wrong else "", flush=True)
                shutil.rmtree(folder / "store")
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    print(f"{table(outcomes)}\n{len(outcomes)} faults, {wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
