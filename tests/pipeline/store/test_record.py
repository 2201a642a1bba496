"""The record of a run: names, and the versions of the packages that outputs may depend on."""

from __future__ import annotations

import platform
from importlib import metadata

from pipeline.store.record import versions


def test_versions_are_those_of_the_packages_that_are_asked_for():
    assert versions(["numpy", "no-such-package"]) == {
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "no-such-package": "not installed",
    }
