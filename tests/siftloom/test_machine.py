"""Where the machine says no: a disk that fills up again and again, a read-only store, strangers in its folders."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import siftloom


def bytes_of(store: Path) -> dict[str, str]:
    """What a run promises to be the same: data, receipts and manifests."""
    promised = ("data", "receipts", "manifest.json", "figures.json")
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.glob("nodes/*/**/*")
        if path.is_file() and path.relative_to(store).parts[2] in promised
    }


@pytest.mark.long
def test_a_disk_that_fills_up_again_and_again_loses_nothing(small, small_disk):
    """Each time there is room for a few more files; the same command goes on."""
    disk = small_disk(40, "nr_inodes=40")
    for files in range(40, 400, 40):
        subprocess.run(["mount", "-o", f"remount,nr_inodes={files}", str(disk)], check=True)
        done = siftloom("run", "small.yaml", "--here", "--store", disk / "store", cwd=small.folder, code=None)
        assert "Traceback" not in done.stderr
        assert done.returncode or files > 60
        if done.returncode == 0:
            break
        last = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
        assert re.search(r"the disk is full \(room for \d+ more files\)", last)
        assert "run the same command again: what is finished is kept" in last
        assert "tasks failed" not in last or "is still to be written" in done.stderr
    assert done.returncode == 0
    assert bytes_of(disk / "store") == bytes_of(small.folder / "kept")


@pytest.mark.long
def test_a_read_only_store_is_read_by_all_that_read(small, small_disk, tmp_path):
    disk = small_disk(40)
    shutil.copytree(small.folder / "kept", disk / "kept")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    def ask(*words, code=0):
        return siftloom(*words, "--store", disk / "kept", cwd=small.folder, code=code)

    for words in (
        ("status", "small"), ("runs",), ("plan", "small.yaml"), ("why", "small", "short"), ("verify", "small"),
        ("removed", "small", "plain"), ("whatif", "small", "plain", "min_words=30"), ("diff", "small", "small"),
    ):  # fmt: skip
        ask(*words)
    refused = ask("report", "small", code=1).stderr
    assert "it cannot be written (Read-only file system)" in refused
    assert "--to FILE" in refused
    page = tmp_path / "page.html"
    assert ask("report", "small", "--to", page).stdout.strip() == str(page)
    assert "</html>" in page.read_text()
    assert "it cannot be written" in ask("run", "small.yaml", "--here", code=1).stderr


def test_strangers_in_the_folders_of_a_store_are_left_alone(small, tmp_path):
    """A half-done store with files and folders that no run has written."""
    store = tmp_path / "store"
    shutil.copytree(small.folder / "kept", store)
    before = bytes_of(store)
    for manifest in store.glob("nodes/*/manifest.json"):
        manifest.unlink()
    shutil.rmtree(next(store.glob("nodes/exact_dedup-*/receipts")))
    strangers = [store / "nodes/stranger", store / "temporary/stranger/a", store / "runs/stranger"]
    strangers += [node / "scratch/stranger/a" for node in store.glob("nodes/*-*")]
    strangers += [folder / "notes.txt" for folder in store.glob("nodes/*-*/receipts/*")]
    strangers += [store / "runs/small/at-work-stranger", store / "runs/small/events/stranger.jsonl"]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    siftloom("run", "small.yaml", "--here", "--store", store, cwd=small.folder)
    for command in ("status", "report", "verify"):
        siftloom(command, "small", "--store", store, cwd=small.folder)
    left = [path for path in strangers if path.exists()]
    assert left == strangers
    assert before.items() <= bytes_of(store).items()
    for path in strangers:
        path.unlink()
    assert bytes_of(store) == before
