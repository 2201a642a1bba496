"""SIGKILL of a worker of Ray, and of nothing else, while it writes for a near-duplicate search, a tokenizer or packed
rows, at moments drawn at random: the run ends by itself with the bytes of one that nothing broke.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import Forked, UnbrokenRecipe, processes, run_to_the_end, start

from pipeline.run import open_run
from tests.stages.dedup.planted import document, edited

RECIPE = """
name: written
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"]}
  unique: {use: minhash_dedup, docs: docs}
  words: {use: tokenizer, docs: unique, vocab_size: 400}
  rows: {use: pack, docs: unique, tokenizer: words, length: 64}
"""
BROKEN = ("unique", "words", "rows")
KILLS, PER_RUN = 40, 5
PAUSE = 1.5  # seconds between two kills, at most
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> UnbrokenRecipe:
    folder, chance = tmp_path_factory.mktemp("written"), random.Random(5)
    (folder / "docs").mkdir()
    texts = [document(chance, 80) for _ in range(400)]
    texts += [edited(words, chance, 2) for words in texts[::4]]
    for part in range(10):
        lines = [json.dumps({"text": " ".join(words)}) + "\n" for words in texts[part::10]]
        (folder / "docs" / f"{part}.jsonl").write_text("".join(lines))
    (folder / "written.yaml").write_text(RECIPE)
    made = UnbrokenRecipe(folder, "written.yaml")
    run_to_the_end(made.command(folder / "store"))
    return made


def writing(workers: list[int], folders: set[Path]) -> tuple[int, str] | None:
    """A worker that has a file of some nodes open at this moment, and the kind of the node."""
    for worker in workers:
        with suppress(OSError):
            for descriptor in os.listdir(f"/proc/{worker}/fd"):
                with suppress(OSError):
                    opened = Path(os.readlink(f"/proc/{worker}/fd/{descriptor}"))
                    if found := folders & set(opened.parents):
                        return worker, found.pop().name.rpartition("-")[0]
    return None


def kill_writers(driver: subprocess.Popen[str] | Forked, folders: set[Path], draw: random.Random) -> Counter[str]:
    """Kill some workers of a driver one after the other, each while it writes; the nodes that they wrote for."""
    killed: Counter[str] = Counter()
    due, look, workers = time.monotonic() + draw.random() * PAUSE, 0.0, []
    while driver.poll() is None and killed.total() < PER_RUN:
        if (now := time.monotonic()) >= look:  # to ask for all processes takes longer than a worker writes
            workers, look = [process.pid for process in processes(driver.pid, "ray::")], now + 0.5
        if now >= due and (found := writing(workers, folders)):
            with suppress(ProcessLookupError):
                os.kill(found[0], signal.SIGKILL)
                killed[found[1]] += 1
                due = now + draw.random() * PAUSE
        time.sleep(0.001)
    return killed


def test_workers_that_are_killed_while_they_write_change_no_byte(unbroken, tmp_path):
    """As many runs as it takes. Each worker that is killed is another's task again, which is tried three times."""
    killed: Counter[str] = Counter()
    draw, runs = random.Random(7), 0
    while killed.total() < KILLS:
        runs += 1
        assert runs <= KILLS, killed
        store = tmp_path / f"store-{runs}"
        shutil.copytree(unbroken.folder / "store", store)
        run = open_run(str(store), "written")
        folders = {store / run[label].folder for label in BROKEN}
        for folder in folders:
            shutil.rmtree(folder)
        driver = start(unbroken.command(store, "--cpus", "2"))
        killed += kill_writers(driver, folders, draw)
        said, _ = driver.communicate(timeout=900)
        assert driver.returncode == 0, said
        assert bytes_of(store) == bytes_of(unbroken.folder / "store"), killed
        shutil.rmtree(store)
        print(f"{runs} runs, {dict(killed)} killed, equal bytes", flush=True)
