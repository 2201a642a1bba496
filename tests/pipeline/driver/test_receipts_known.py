"""What a driver learns from its tasks it does not ask the store for."""

from __future__ import annotations

import pytest
from corpus import write_corpus
from nodes import Lines, Long, Vowels

from pipeline.driver.execute import Options, run
from pipeline.files.objects import LocalStore
from pipeline.graph import build


@pytest.mark.long
def test_a_driver_reads_no_receipt_that_its_tasks_returned(local_ray, tmp_path, monkeypatch):
    read, asked = LocalStore.read, []

    def watched(store: LocalStore, name: str) -> bytes | None:
        if "/receipts/" in name:
            asked.append(name)
        return read(store, name)

    monkeypatch.setattr(LocalStore, "read", watched)
    graph = build([Vowels(docs=Long(docs=Lines(paths=write_corpus(tmp_path / "in"))))])
    found = run(graph, name="run", store=str(tmp_path / "store"), options=Options(cpus=2))
    assert found["vowels"].finished
    assert asked == []
    run(graph, name="run", store=str(tmp_path / "store"), options=Options(cpus=2))
    assert asked == [], "a finished run is known by its manifests"
