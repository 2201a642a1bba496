"""Order never decides content: workers, folders and the moments at which tasks end change no byte."""

from __future__ import annotations

import shutil

from corpus import bytes_of
from drive import finish, start


def test_one_worker_and_three_with_naps_and_a_copied_input_make_the_same_bytes(finished, tmp_path):
    copied = shutil.copytree(finished.paths[0], tmp_path / "elsewhere" / "in")
    labels = ("docs", "long", "vowels", "twins", "tally", "count")
    naps = {label: {"pause": 0.2} for label in labels}
    drivers = [
        start(store=tmp_path / "one", paths=finished.paths, cpus=1),
        start(store=tmp_path / "three", paths=[copied], cpus=3, changed=naps),
    ]
    for driver in drivers:
        finish(driver)
    one, three = (bytes_of(tmp_path / name) for name in ("one", "three"))
    assert len(one) > 60
    assert one == three
    assert one == finished.bytes()
    assert any("/receipts/" in name for name in one)
    assert any(name.endswith("manifest.json") for name in one)
