"""Order never decides content: workers, folders and the moments at which tasks end change no byte."""

from __future__ import annotations

import shutil

import pytest
from corpus import bytes_of
from drive import finish, start


@pytest.mark.long
def test_three_workers_with_naps_and_a_copied_input_make_the_bytes_of_one_process(finished, tmp_path):
    """One worker of Ray makes them too: `test_two_drivers`."""
    copied = shutil.copytree(finished.paths[0], tmp_path / "elsewhere" / "in")
    labels = ("docs", "long", "vowels", "twins", "tally", "count")
    naps = {label: {"pause": 0.2} for label in labels}
    finish(start(store=tmp_path / "three", paths=[copied], cpus=3, changed=naps))
    three = bytes_of(tmp_path / "three")
    assert len(three) > 60
    assert three == finished.bytes()
    assert any("/receipts/" in name for name in three)
    assert any(name.endswith("manifest.json") for name in three)
