"""What keeps a run waiting is said: a dead head, a full folder, CPUs that another driver holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from corpus import write_corpus
from drive import finish, start

from pipeline.ray_runtime import watch
from pipeline.ray_runtime.watch import Watch


def watching(local: bool = True, awaited: str = "long (rows)") -> tuple[Watch, list[str]]:
    lines: list[str] = []
    return Watch(lines.append, lambda: awaited, local), lines


FOUND = {
    "gcs_server": "its head has died: nothing listens any more at 127.0.0.1:",
    "raylet": r"its raylet \(process \d+\) has died; expected a Ray that answers. Next: run again: what has a receipt ",
}


@pytest.mark.long
@pytest.mark.parametrize("which", FOUND)
def test_a_dead_head_or_raylet_ends_the_run_at_once_and_nothing_of_ray_stays(tmp_path, which):
    store = tmp_path / "store"
    pauses = {"docs": {"pause": 2.0}, "long": {"pause": 60.0}}
    driver = start(store=store, paths=write_corpus(tmp_path / "in"), changed=pauses)
    try:
        while not list(store.glob("nodes/lines-*/receipts/shards/*")):
            assert driver.poll() is None, driver.communicate()
            time.sleep(0.05)
        started = psutil.Process(driver.pid).children(recursive=True)
        (dying,) = [process for process in started if which in process.name()]
        assert any("Agent" in " ".join(process.cmdline()) for process in started)
        dying.kill()
        said = finish(driver, 1)
    finally:
        driver.kill()
    assert re.fullmatch(rf"(UserE|e)rror: Ray on this machine: {FOUND[which]}.*\n", said), said
    _, left = psutil.wait_procs(started, timeout=20)
    assert left == []


def last_words(raylet: int, *told: str) -> str:
    """What is said of a driver that ends without a goodbye, `told` before."""
    driver = (
        "import os, sys; from pipeline.ray_runtime.last_words import LastWords; "
        f"words = LastWords({raylet}, 'the raylet \\x1b'); [words.change(text) for text in {told!r}]; os._exit(1)"
    )
    return subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True).stderr


def test_a_driver_that_its_core_ends_has_a_last_word():
    gone = subprocess.Popen(["true"])
    assert last_words(os.getpid()) == "", "its raylet lives, so who ended it knows why"
    assert last_words(gone.pid) == "error: the raylet ⟨U+001B⟩\n", "a raylet that nobody has reaped"
    gone.wait()
    assert last_words(gone.pid) == "error: the raylet ⟨U+001B⟩\n"
    assert last_words(os.getpid(), "the head") == "error: the head\n"
    assert last_words(os.getpid(), "the head", "") == ""
    begin = f"from pipeline.ray_runtime.last_words import LastWords; words = LastWords({gone.pid}, 'no'); "
    ends_itself = begin + "words.change('no')"
    done = subprocess.run([sys.executable, "-c", ends_itself], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_head_of_a_cluster_is_waited_for(local_ray):
    seen, lines = watching(local=False)
    seen.look_at_head()
    real, seen.head = seen.head, "127.0.0.1:1"  # where nobody listens
    for _ in range(watch.MISSES + 2):
        seen.look_at_head()
    assert [line.split(" (")[0] for line in lines] == ["Ray's head at 127.0.0.1:1 does not answer"]
    seen.head = real
    seen.look_at_head()
    assert lines[1:] == [f"Ray's head at {real} answers again"]
    assert seen.lost is None


def test_a_full_folder_is_named_once_and_again_when_it_has_room(local_ray, small_disk):
    disk = small_disk(80)
    seen, lines = watching()
    seen.folders = [str(disk), str(disk / "gone")]
    seen.look_at_folders()
    assert lines == []
    filler = Path(disk, "filler")
    filler.write_bytes(bytes(30 * 1024**2))
    for _ in range(3):
        seen.look_at_folders()
    assert [line.split(":")[0] for line in lines] == [f"{disk} is full (52.4 MB are free)"]
    filler.unlink()
    seen.look_at_folders()
    assert lines[1:] == [f"{disk} has room again"]


@pytest.mark.long
def test_what_is_awaited_is_said_where_no_cpu_is_free(local_ray, monkeypatch):
    import ray

    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.0)
    idle, lines = watching()
    idle.look_at_quiet()
    assert lines == [], "CPUs are free: whatever is slow, nobody holds them"

    @ray.remote(num_cpus=2)
    class Holder:
        def ready(self) -> int:
            return os.getpid()

    holder = Holder.remote()
    ray.get(holder.ready.remote())
    try:
        while ray.available_resources().get("CPU", 0) >= 1:
            time.sleep(0.05)
        busy, lines = watching()
        for _ in range(2):
            busy.look_at_quiet()
        assert len(lines) == 1
        assert "awaited: long (rows). Of 2 CPUs none is free" in lines[0]
        busy.heard()
        busy.look_at_quiet()
        assert len(lines) == 2
        nothing, lines = watching(awaited="")
        nothing.look_at_quiet()
        assert lines == []
    finally:
        ray.kill(holder)


def test_what_waits_for_a_gpu_that_no_node_of_a_cluster_has_is_told_once(local_ray):
    import ray

    found, lines = watching(local=False)
    waiting = ray.remote(num_cpus=0, num_gpus=1)(lambda: None).remote()
    end = time.monotonic() + 60
    try:
        while not lines and time.monotonic() < end:
            found.look_at_gpus()
        found.look_at_gpus()
        assert len(lines) == 1
        assert re.match(r"long \(rows\) waits for a GPU, and Ray at \S+ has none now: a node that has one", lines[0])
    finally:
        ray.cancel(waiting, force=True)
