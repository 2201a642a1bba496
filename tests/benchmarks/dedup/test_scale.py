"""The simulation far beyond the corpus, as its page in the docs names it, on few keys."""

import json
import subprocess
import sys

import pytest


@pytest.mark.long
def test_both_simulations_run_from_one_command():
    command = [sys.executable, "-m", "benchmarks.dedup.scale", "3e5"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    said = dict(line.split(" ", 1) for line in found.stdout.strip().splitlines())
    union, exchange = json.loads(said["components"]), json.loads(said["exchange"])
    assert union["rows"] == exchange["keys"] == 300_000
    assert 80_000 < union["members"] <= 90_002  # three rows in ten and the two behind them, few of them by no edge
    assert exchange["documents"] == 20_000
    assert 0 < exchange["clusters"] < exchange["members"] < 0.3 * exchange["documents"] * 1.1


def test_another_wish_is_answered_with_the_usage():
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.dedup.scale", "exchange", "9"], capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 1
    assert "exchange KEYS FOLDER" in found.stderr
