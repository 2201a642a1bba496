"""Large temporary files end with their process, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files.process_folder import process_folder, sweep

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pipeline.files.process_folder import process_folder
(process_folder() / "weights").write_bytes(b"0" * 100)
print(process_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    monkeypatch.setenv("SIFTLOOM_CACHE", str(tmp_path / "cache"))


def test_what_a_killed_worker_had_for_an_object_store_goes():
    program = """
import os, signal
from pipeline.files.remote import RemoteStore
with RemoteStore("s3://bucket/runs").temporary("x.parquet") as path:
    path.write_bytes(b"0" * 100)
    print(path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    found = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True
    )
    left = Path(found.stdout.strip())
    assert left.exists()
    sweep()
    assert not left.exists()


def another() -> tuple[subprocess.Popen, Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_and_that_of_a_living_one_stays():
    (killed, left), (living, kept) = another(), another()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (left / "weights").exists()
    sweep()
    assert not left.exists()
    assert (kept / "weights").exists()
    living.communicate()
    assert not kept.exists()


def test_a_folder_that_was_tidied_away_is_made_again():
    shutil.rmtree(process_folder())
    assert process_folder().is_dir()


def test_of_another_machine_nothing_is_known():
    mine = process_folder()
    other = mine.parent / "_".join(["11111111-other-boot", *mine.name.split("_")[1:]])
    other.mkdir()
    sweep()
    assert other.exists()
    assert mine.exists()
