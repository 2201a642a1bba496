"""Finished runs that all tests of this room share: a small one made by the command, and the demo."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from command_line import RECIPE, Small, siftloom, write_documents
from finished_demo import FEW


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    write_documents(folder / "docs")
    (folder / "small.yaml").write_text(RECIPE, encoding="utf-8")
    done = siftloom("run", "small.yaml", "--here", cwd=folder)
    assert "small is finished" in done.stdout
    return Small(folder)


@pytest.fixture(scope="session")
def second(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A copy of it with a second run, of one changed threshold: `small@2` keeps nothing."""
    folder = tmp_path_factory.mktemp("second") / "copy"
    shutil.copytree(small.folder, folder)
    copied = Small(folder)
    copied("run", "small.yaml", "plain", "-s", "plain.min_words=60", "-s", "plain.allow_empty=true", "--here")
    return copied


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    """The run, without Ray, and what `siftloom demo --json` prints. It takes a minute: who asks first needs a longer
    timeout.
    """
    from pipeline.driver.options import Options
    from siftloom.demo.run import run_demo

    return run_demo(str(tmp_path_factory.mktemp("demo")), Options(here=True), None, FEW)
