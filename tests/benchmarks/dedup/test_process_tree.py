"""What a benchmark counts as used: also by processes that are gone before it ends."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.dedup.peer_scripts.process_tree import Watch

# As a raylet and its worker: the one between ignores SIGCHLD, so the kernel adds nothing of the child's to its times.
PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait()
print("over", flush=True)
sys.stdin.read()
"""
CHILD = """
import time
while time.process_time() < 1: pass
print("used", flush=True)
time.sleep(0.5)  # so that it is looked at once more
"""


def parent() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_what_a_process_used_counts_when_it_has_ended():
    watch = Watch()
    watch.start()
    with parent() as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"used\n", b"over\n"]
        watch.stop()
        process.stdin.close()
    assert watch.cpu > 0.9


def test_what_it_used_before_neither_counts_nor_is_taken_off():
    watch = Watch()
    with parent() as process:
        assert process.stdout.readline() == b"used\n"
        watch.start()
        assert process.stdout.readline() == b"over\n"
        watch.stop()
        process.stdin.close()
    assert abs(watch.cpu) < 0.5
