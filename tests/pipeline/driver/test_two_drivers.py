"""Two drivers on one store: every task is done once, and the dead, the stopped and the impatient are told apart."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from corpus import times_of
from drive import finish, start

from pipeline.driver.execute import Driver, Options
from pipeline.files.objects import LocalStore
from pipeline.progress.watcher import Notice
from pipeline.results import lease
from pipeline.results.lease import Leases

SLOW = {"docs": {"pause": 0.5}, "long": {"pause": 0.5}, "twins": {"pause": 0.3}, "tally": {"pause": 0.5}}


def wait_for(store: Path, pattern: str, driver) -> None:
    """Until the driver has made a file of that name."""
    while not list(store.glob(pattern)):
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.02)


def marked(marks: Path) -> dict[str, dict]:
    return {label: {"marks": str(marks)} | SLOW.get(label, {}) for label in ("long", "twins")}


@pytest.mark.long
def test_two_at_once_do_every_task_once(finished, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    changed = SLOW | marked(marks)
    drivers = [start(store=tmp_path / "store", paths=finished.paths, changed=changed, name=name) for name in "ab"]
    for driver in drivers:
        finish(driver)
    store = type(finished)(tmp_path / "store", finished.paths)
    assert store.bytes() == finished.bytes()
    # A mark per batch scored and per shard keyed: the same number as one driver alone makes.
    batches = sum(-(-rows // 50) for rows in [120] * 4)
    assert len(list(marks.iterdir())) == batches + 4
    assert sorted(os.listdir(store.store / "runs")) == ["a", "b"]
    assert not list(store.store.glob("nodes/*/lease/*"))


def test_the_impatient_one_leaves_with_75(finished, tmp_path):
    store = tmp_path / "store"
    first = start(store=store, paths=finished.paths, here=True, changed={"docs": {"pause": 60.0}})
    wait_for(store, "nodes/lines-*/lease/*", first)
    second = start(store=store, paths=finished.paths, here=True, name="other", wait=False)
    assert "LeaseHeld: another driver holds docs" in finish(second, 75)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_stopped_owner_is_taken_over_and_what_it_did_is_kept(finished, tmp_path, end):
    """Killed, with its Ray: at once, however long the lease. Stopped: after its lease; woken up, it finds everything
    done.
    """
    here = end == signal.SIGSTOP
    store = tmp_path / "store"
    lease = {"SIFTLOOM_LEASE_SECONDS": "600" if end == signal.SIGKILL else "3"}
    slow = {"docs": {"pause": 2.0}}
    first = start(lease, store=store, paths=finished.paths, here=here, changed=slow)
    wait_for(store, "nodes/lines-*/receipts/shards/*", first)
    os.killpg(first.pid, end)
    if end == signal.SIGKILL:
        first.communicate()
    done = {name: when for name, when in times_of(store).items() if "/receipts/" in name}
    finish(start(lease, store=store, paths=finished.paths, here=True, name="other"))
    after = times_of(store)
    assert {name: after[name] for name in done} == done
    assert type(finished)(store, finished.paths).bytes() == finished.bytes()
    if end == signal.SIGSTOP:
        os.killpg(first.pid, signal.SIGCONT)
        finish(first)
        assert times_of(store) == after
        assert type(finished)(store, finished.paths).bytes() == finished.bytes()


def test_a_lease_of_another_host_is_awaited_until_it_expires(copy):
    """A driver that waits goes on by itself, with what the other left."""
    view = copy.open()["common"]
    (copy.store / view.folder / "manifest.json").unlink()
    holder = Leases(LocalStore(str(copy.store)))
    holder.acquire(view.folder)
    path = copy.store / view.folder / "lease" / "1.json"
    record = json.loads(path.read_text()) | {"boot": "another host", "token": "its", "expires": time.time() + 2}
    path.write_text(json.dumps(record))
    copy.run()
    assert time.time() > record["expires"]
    assert copy.open()["common"].finished
    assert not path.exists()
    holder.close()


class _Removes:
    """A person who reads what a run waits for and does what it says."""

    def __init__(self, store: Path) -> None:
        self.store, self.lines = store, []

    def notify(self, event) -> None:
        if isinstance(event, Notice) and event.text.startswith("waiting for "):
            self.lines.append(event.text)
            (self.store / event.text.rpartition("Remove ")[2].split()[0]).unlink()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("held", ["common", "the run's name"])
def test_a_lease_that_runs_for_years_is_named_with_its_mend(copy, held, monkeypatch):
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.0)
    view = copy.open()["common"]
    (copy.store / view.folder / "manifest.json").unlink()
    folder = view.folder if held == "common" else "runs/whole"
    holder = Leases(LocalStore(str(copy.store)))
    holder.acquire(folder)
    path = copy.store / folder / "lease" / "1.json"
    years = {"boot": "another host", "pid": 7, "token": "its", "expires": time.time() + 1e9}
    path.write_text(json.dumps(json.loads(path.read_text()) | years))
    person = _Removes(copy.store)
    Driver(copy.graph(), "whole", str(copy.store), Options(here=True), None, person).run()
    (line,) = person.lines
    name = "common" if held == "common" else "runs/whole"
    assert re.match(
        rf"waiting for {name}: process 7 of another machine holds it; .* has 2777\d\d:\d\d:\d\d to run", line
    )
    assert copy.open()["common"].finished
    holder.close()


def test_what_another_did_before_a_node_was_taken_is_seen(copy):
    """A driver that was busy elsewhere must not do again what the owner before it has done."""
    view = copy.open()["long"]
    keys = set(view.keys("rows"))
    receipts, aside = copy.store / view.folder / "receipts", copy.store / "aside"
    (copy.store / view.folder / "manifest.json").unlink()
    receipts.rename(aside)
    driver = Driver(copy.graph(), "whole", str(copy.store), Options(here=True), None, None)
    driver.leases = Leases(driver.store)
    node = next(node for node, label in driver.graph.names.items() if label == "long")
    assert driver.state.done(node, "rows") == set()
    aside.rename(receipts)
    assert driver._take(node)
    assert driver.state.done(node, "rows") == keys
    driver.leases.close()


def test_what_another_finishes_between_two_looks_is_no_end(copy, monkeypatch):
    """A driver that finds nothing left to do in a node goes on with those behind it."""
    whole, run = copy.bytes(), copy.open()
    folders = {label: copy.store / run[label].folder for label in ("tally", "common", "count")}
    aside = copy.store / "aside"
    aside.mkdir()
    for label in ("tally", "common"):
        folders[label].rename(aside / label)
    shutil.rmtree(folders["count"])
    driver = Driver(copy.graph(), "whole", str(copy.store), Options(here=True), None, None)
    walk = driver._walk

    def after_another():
        for label in ("tally", "common"):
            shutil.copytree(aside / label, folders[label], dirs_exist_ok=True)
        walk()

    monkeypatch.setattr(driver, "_walk", after_another)
    driver.run()
    assert copy.bytes() == whole
