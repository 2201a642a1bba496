"""Every benchmark can begin: what nobody imports is broken by the next change, and its table cannot be made again."""

import importlib
import pkgutil

import pytest

import benchmarks

PEERS = "benchmarks.dedup.peer_scripts."  # each runs alone, where the library that it measures is installed
MODULES = [
    found.name for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not found.name.startswith(PEERS)
]  # fmt: skip


def test_there_are_benchmarks():
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_imports(name):
    importlib.import_module(name)
