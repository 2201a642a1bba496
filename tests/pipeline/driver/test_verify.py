"""Damage in a store: named by `verify`, mended by `run` at the price of the damage; and what `clean` takes away."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from corpus import times_of, write_corpus
from nodes import Lines, Long

from pipeline.driver import prepare
from pipeline.driver.clean import clean
from pipeline.driver.execute import Driver, Options, run
from pipeline.driver.verify import verify
from pipeline.errors import StoreError, UserError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.progress.watcher import Notice, Started
from pipeline.results import lease
from pipeline.results.holds import CLEANING, hold, let_go
from pipeline.results.lease import Leases
from pipeline.run import open_run
from siftloom.ask.runs import all_runs


def data_file(finished, label: str, phase: str, key: str, ext: str = ".parquet") -> Path:
    return finished.store / finished.open()[label].folder / "data" / phase / f"{key}{ext}"


def alter(path: Path) -> None:
    """One bit, in a new file: the old one may have other names."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-7])


def test_a_sound_store_has_no_findings_and_is_left_alone(copy):
    before = times_of(copy.store)
    assert verify(str(copy.store), "whole") == []
    assert times_of(copy.store) == before


@pytest.mark.parametrize("damage", [alter, truncate, Path.unlink])
@pytest.mark.parametrize(
    ("label", "phase", "number"),
    [("docs", "shards", 1), ("long", "rows", 2), ("twins", "keys", 0), ("twins", "copies", 1), ("tally", "tally", 0)],
)
def test_one_damaged_file_is_named_and_costs_one_task(finished, copy, damage, label, phase, number):
    sound = copy.bytes()
    key = copy.open()[label].keys(phase)[number]
    path = data_file(copy, label, phase, key, ".json" if label == "tally" else ".parquet")
    before = times_of(copy.store)
    damage(path)
    (finding,) = verify(str(copy.store), "whole")
    assert (finding.node, finding.phase, finding.key, finding.withdrawn) == (label, phase, key, True)
    assert str(copy.store / finding.file) == str(path)
    actions = {name: entry.action for name, entry in copy.plan().items()}
    assert actions[label] == ("run" if label == "tally" else "resume")  # its only task
    copy.run()
    assert copy.bytes() == sound
    after = times_of(copy.store)
    receipt = f"{copy.open()[label].folder}/receipts/{phase}/{key}.json"
    assert {name for name in before if after[name] != before[name]} == {
        receipt,
        path.relative_to(copy.store).as_posix(),
    }
    assert verify(str(copy.store), "whole") == []


def test_a_run_finds_a_truncated_file_by_its_size(copy):
    sound = copy.bytes()
    path = data_file(copy, "vowels", "rows", copy.open()["vowels"].keys("rows")[3])
    truncate(path)
    copy.run()
    assert copy.bytes() == sound


def test_what_read_changed_bytes_is_done_again_and_nothing_else(copy):
    """A receipt that was made by other code: its task and, of its readers, those of that shard come out otherwise."""
    view = copy.open()["long"]
    key = view.keys("rows")[0]
    receipt = copy.store / view.folder / "receipts" / "rows" / f"{key}.json"
    sound = copy.bytes()
    form = json.loads(receipt.read_text())
    form["files"][f"{key}.parquet"] |= {"sha256": "0" * 64}
    receipt.write_text(json.dumps(form))
    # Readers recorded the digest of the true file, which comes back: only this task is due.
    (finding,) = verify(str(copy.store), "whole")
    assert finding.key == key
    copy.run()
    assert copy.bytes() == sound
    # Now the readers recorded something else: they, and whatever changes after them, are due.
    twins = copy.open()["twins"]
    stale = copy.store / twins.folder / "receipts" / "keys" / f"{key}.json"
    form = json.loads(stale.read_text())
    form["reads"][0][3] = "another digest"
    stale.write_text(json.dumps(form, sort_keys=True, separators=(",", ":")))
    (copy.store / view.folder / "manifest.json").unlink()
    before = times_of(copy.store)
    copy.run()
    after = times_of(copy.store)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {stale.relative_to(copy.store).as_posix(), f"{twins.folder}/data/keys/{key}.parquet"}
    assert copy.bytes() == sound


@pytest.mark.parametrize("content", ["", "{", '{"phase": "rows"}'])
def test_a_damaged_receipt_is_named_and_made_again(copy, content):
    sound = copy.bytes()
    view = copy.open()["strip"]
    key = view.keys("rows")[0]
    (copy.store / view.folder / "receipts" / "rows" / f"{key}.json").write_text(content)
    (finding,) = verify(str(copy.store), "whole")
    assert (finding.node, finding.key, finding.found) == ("strip", key, "a damaged receipt")
    copy.run()
    assert copy.bytes() == sound


def test_a_damaged_manifest_is_made_again(copy):
    sound = copy.bytes()
    path = copy.store / copy.open()["twins"].folder / "manifest.json"
    path.write_text("{")
    holder = Leases(LocalStore(str(copy.store)))
    assert holder.acquire(copy.open()["twins"].folder)
    (finding,) = verify(str(copy.store), "whole")
    assert "another driver holds" in finding.note
    assert path.exists(), "who holds the node may be writing it"
    holder.close()
    (finding,) = verify(str(copy.store), "whole")
    assert (finding.node, finding.phase, finding.found, finding.withdrawn) == (
        "twins", "manifest", "a damaged file", True,
    )  # fmt: skip
    copy.run()
    assert copy.bytes() == sound
    assert verify(str(copy.store), "whole") == []


def test_a_node_that_a_driver_holds_is_named_and_left_alone(copy):
    view = copy.open()["long"]
    path = data_file(copy, "long", "rows", view.keys("rows")[0])
    alter(path)
    holder = Leases(LocalStore(str(copy.store)))
    assert holder.acquire(view.folder)
    (finding,) = verify(str(copy.store), "whole")
    assert not finding.withdrawn
    assert "another driver holds" in finding.note
    assert (copy.store / view.folder / "manifest.json").exists()
    holder.close()


def test_an_unknown_run_is_named(copy):
    with pytest.raises(UserError, match="no run called 'other'"):
        verify(str(copy.store), "other")


def test_a_crash_while_a_task_is_withdrawn_lets_no_damage_pass(copy, monkeypatch):
    """The manifest is gone and the receipt, which vouches for the damaged file, still there."""
    sound = copy.bytes()
    alter(data_file(copy, "vowels", "rows", copy.open()["vowels"].keys("rows")[3]))
    delete = LocalStore.delete

    def crash(store: LocalStore, name: str) -> None:
        if "/receipts/" in name:
            raise KeyboardInterrupt
        delete(store, name)

    with monkeypatch.context() as killed:
        killed.setattr(LocalStore, "delete", crash)
        with pytest.raises(KeyboardInterrupt):
            verify(str(copy.store), "whole")
    assert not copy.open()["vowels"].finished
    copy.run()
    assert copy.bytes() == sound
    assert verify(str(copy.store), "whole") == []


@pytest.mark.parametrize("content", [None, b"", b"[]"])
def test_damaged_figures_are_found_and_drawn_again(copy, content):
    sound = copy.bytes()
    path = copy.store / copy.open()["long"].folder / "figures.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (finding,) = verify(str(copy.store), "whole")
    assert (finding.node, finding.phase, finding.withdrawn) == ("long", "figures", True)
    before = times_of(copy.store)
    copy.run()
    assert copy.bytes() == sound
    assert times_of(copy.store) == before, "no task was done again"


def test_damaged_figures_are_named_to_who_reads_them(copy):
    path = copy.store / copy.open()["long"].folder / "figures.json"
    path.write_bytes(b"{")
    with pytest.raises(StoreError, match=r"figures\.json: damaged.*Next: siftloom verify"):
        _ = copy.open()["long"].figures


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"nodes": 3}'])
def test_a_damaged_record_is_named_and_its_nodes_are_not_cleaned_away(copy, content):
    sound = copy.bytes()
    (copy.store / "runs" / "whole" / "run.json").write_bytes(content)
    store = str(copy.store)
    for use in (lambda: verify(store, "whole"), lambda: clean(store), copy.run, lambda: all_runs(store)):
        with pytest.raises(StoreError, match=r"runs/whole/run\.json: .*Next: remove the file, then run"):
            use()
    (copy.store / "runs" / "whole" / "run.json").unlink()
    copy.run()
    assert copy.bytes() == sound
    assert verify(str(copy.store), "whole") == []


def test_damaged_digests_are_counted_and_made_again(copy):
    (path,) = (copy.store / "sources").glob("*/digests.json")
    sound = path.read_bytes()
    path.write_bytes(sound[:40])
    (finding,) = verify(str(copy.store), "whole")
    assert (finding.phase, finding.file, finding.withdrawn) == (
        "digests",
        f"sources/{path.parent.name}/digests.json",
        True,
    )
    copy.run()
    assert path.read_bytes() == sound


# clean ---------------------------------------------------------------------------------------------------------------


def names(unused) -> set[str]:
    return {each.name.rpartition("-")[0] or each.name for each in unused}


def test_clean_takes_what_no_run_names(copy, tmp_path):
    assert clean(str(copy.store)) == []
    sound = copy.bytes()
    other = type(copy)(copy.store, write_corpus(tmp_path / "in", files=1, seed=9))
    other.run(name="other")
    assert clean(str(copy.store)) == []
    shutil.rmtree(copy.store / "runs" / "other")
    (copy.store / "temporary" / "half").write_bytes(b"x" * 10)
    found = clean(str(copy.store), dry_run=True)
    assert len(found) == 8 + 2
    assert all(each.bytes > 0 for each in found)
    assert (copy.store / "temporary" / "half").exists()
    assert clean(str(copy.store)) == found
    assert copy.bytes() == sound
    assert {entry.action for entry in copy.plan().values()} == {"reuse"}
    assert not (copy.store / "temporary" / "half").exists()
    assert clean(str(copy.store)) == []


@pytest.mark.parametrize("before", ["withdraw_damaged", "check_space", "check_drift", "nodes_over_holes"])
def test_a_run_that_has_begun_keeps_what_it_plans_to_use(copy, monkeypatch, before):
    """Its run was forgotten, so that `clean` would take all that the new run has just found finished."""
    sound = copy.bytes()
    shutil.rmtree(copy.store / "runs")
    work = getattr(prepare, before)

    def after_cleaning(*arguments):
        assert not any(each.name.startswith("nodes/") for each in clean(str(copy.store)))
        return work(*arguments)

    monkeypatch.setattr(prepare, before, after_cleaning)
    copy.run()
    assert copy.bytes() == sound
    assert copy.open()["common"].rows(["id"]).num_rows > 0


def test_what_a_driver_holds_stays_until_it_lets_go_or_is_dead(copy):
    """Also where another driver of the run has recorded other nodes under their labels, and these are finished."""
    shutil.rmtree(copy.store / "runs")
    every = {f"nodes/{name}" for name in os.listdir(copy.store / "nodes")}
    shutil.rmtree(copy.store / "sources")
    holders = [Leases(LocalStore(str(copy.store))) for _ in range(2)]
    one = next(name for name in every if name.startswith("nodes/lines-"))  # made from no other node
    others = every - {one}
    hold(holders[0], [one])
    hold(holders[1], others)
    assert clean(str(copy.store)) == []
    let_go(holders[1])
    assert {each.name for each in clean(str(copy.store))} == others
    holders[0].close()  # as far as others can tell it is dead
    assert {each.name for each in clean(str(copy.store))} == {one, f"drivers/{holders[0].owner.token}"}
    assert clean(str(copy.store)) == []
    holders[1].close()


class _Cleans:
    """A `clean` that began before the run: it waits until the run waits for it, then removes all nodes."""

    def __init__(self, store: Path) -> None:
        self.store, self.leases = store, Leases(LocalStore(str(store)))
        assert self.leases.acquire(CLEANING)

    def notify(self, event) -> None:
        if isinstance(event, Notice) and event.text.startswith("waiting for cleaning"):
            shutil.rmtree(self.store / "nodes")
            self.leases.close()

    def close(self) -> None:
        pass


def test_a_run_looks_at_no_node_while_the_store_is_cleaned(copy, monkeypatch):
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.0)
    sound = copy.bytes()
    Driver(copy.graph(), "whole", str(copy.store), Options(here=True), None, _Cleans(copy.store)).run()
    assert copy.bytes() == sound


class _Removes:
    """Somebody who removes a finished node from under a run, whatever the run has recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def notify(self, event) -> None:
        if isinstance(event, Started):
            shutil.rmtree(self.folder)

    def close(self) -> None:
        pass


def test_a_run_whose_results_were_removed_does_not_end_well(copy):
    watcher = _Removes(copy.store / copy.open()["tally"].folder)
    with pytest.raises(StoreError, match="the results of tally were removed while this run was at work"):
        Driver(copy.graph(), "whole", str(copy.store), Options(here=True), None, watcher).run()


def test_clean_leaves_a_folder_alone_that_is_no_store(tmp_path):
    for name in ("nodes/mine/notes.txt", f"sources/{'a' * 24}/digests.json", "temporary/keep.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("[]")
    with pytest.raises(StoreError, match=r"no store: it holds no siftloom\.json"):
        clean(str(tmp_path))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_clean_leaves_alone_what_no_run_can_have_made(copy):
    kept = [copy.store / name for name in ("nodes/mine/notes.txt", "sources/raw/a.jsonl", "notes.txt")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert clean(str(copy.store)) == []
    assert all(path.read_text() == "mine" for path in kept)


def test_clean_never_takes_what_a_driver_holds(copy):
    shutil.rmtree(copy.store / "runs")
    holder = Leases(LocalStore(str(copy.store)))
    folder = sorted(os.listdir(copy.store / "nodes"))[0]
    assert holder.acquire(f"nodes/{folder}")
    (copy.store / "temporary" / "half").write_bytes(b"x")
    clean(str(copy.store))
    assert os.listdir(copy.store / "nodes") == [folder]
    assert (copy.store / "nodes" / folder / "manifest.json").exists()
    assert (copy.store / "temporary" / "half").exists()
    holder.close()
    clean(str(copy.store))
    assert os.listdir(copy.store / "nodes") == []


def test_nodes_that_two_runs_share_stay_while_one_names_them(copy):
    copy.run(name="other", common={"best": 3})
    shutil.rmtree(copy.store / "runs" / "whole")
    assert names(clean(str(copy.store))) == {"nodes/common", "nodes/tally"}
    assert copy.open("other")["common"].rows(["id"]).num_rows > 0


def test_what_a_node_of_a_run_was_made_from_stays(tmp_path):
    """A recipe that is run up to a node after its files have changed names that node anew, and those behind it as they
    were; the rows of these lie beside the old base.
    """
    docs = Lines(paths=write_corpus(tmp_path / "in", files=2))
    store, names = str(tmp_path / "store"), {"docs": docs, "long": Long(docs=docs)}
    first = run(build([names["long"]], names), name="run", store=store, options=Options(here=True))
    rows = first["long"].rows(["id", "text"])
    (tmp_path / "in" / "part-02.txt").write_text("a line of a new file\n")
    run(build([docs], names), name="run", store=store, options=Options(here=True))
    assert clean(store) == []
    assert open_run(store, "run")["long"].rows(["id", "text"]) == rows
