"""What `siftloom doctor` says of a cluster's nodes."""

import pytest

from pipeline.files.address import Address
from pipeline.ray_runtime import machines
from siftloom import doctor

HERE = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0"}
NODE = {"host": "one", "address": "10.0.0.1", "versions": HERE, "python": "/x/python", "error": ""}


def found(monkeypatch, *nodes):
    monkeypatch.setattr(doctor.json, "loads", lambda text: HERE)
    monkeypatch.setattr(machines, "ask_nodes", lambda *_: [NODE | node for node in nodes])
    return {(f["what"], f["state"]): f["found"] for f in doctor._cluster("auto", Address("/store"))}


@pytest.mark.parametrize(
    ("differs", "state"),
    [
        ({}, "good"), ({"torch": "2.13.0+cu130"}, "note"), ({"python": "3.11.9"}, "note"),
        ({"python": "3.12.7"}, "bad"), ({"torch": "2.12.0+cpu"}, "bad"), ({"ray": "2.60.1"}, "bad"),
    ],
)  # fmt: skip
def test_another_build_is_a_note_and_another_version_an_error(monkeypatch, differs, state):
    text = found(monkeypatch, {"versions": HERE | differs})["node one", state]
    assert all(f"{name} {version}, here {HERE[name]}" in text for name, version in differs.items())


def test_an_address_that_nobody_reaches_and_two_interpreters_are_found(monkeypatch):
    said = found(monkeypatch, {"address": "127.0.0.1"}, {"host": "two", "python": "/y/python"})
    assert "127.0.0.1" in said["node one", "note"]
    assert said["interpreter", "bad"] == "/x/python, /y/python"
    assert ("interpreter", "good") in found(monkeypatch, {}, {"host": "two"})
