"""Hostile folders at each door: an error that names the file, in bounded time and memory, and a good folder goes in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from pipeline.errors import UserError
from tests.stages.hostile_door import bring
from tests.stages.hostile_folders import CASES, CHAT, FOLDER, HF, TOKENIZER, good

EACH = [(name, door) for name, case in CASES.items() for door in case.doors]
# the folder's model itself is loaded by transformers, which takes seconds to import
CHEAP = [(name, door) for name, door in EACH if door == HF and not CASES[name].long]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return good(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture
def hostile(start, tmp_path):
    def made(name):
        folder = tmp_path / "model"
        shutil.copytree(start, folder)
        CASES[name].change(folder)
        return folder

    return made


@pytest.mark.parametrize(("name", "door"), CHEAP)
def test_a_hostile_folder_is_refused_by_the_name_of_its_file(name, door, hostile, tmp_path):
    with pytest.raises(UserError, match=CASES[name].says):
        bring(hostile(name), door, tmp_path / "node")


@pytest.mark.long
@pytest.mark.parametrize("door", [HF, FOLDER, TOKENIZER, CHAT])
def test_a_good_folder_goes_in(door, start, tmp_path):
    bring(start, door, tmp_path / "node")


@pytest.mark.long
@pytest.mark.parametrize(("name", "door"), EACH)
def test_an_answer_is_bounded(name, door, hostile, tmp_path):
    folder = hostile(name)
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.hostile_door", str(folder), door, str(tmp_path / "node")],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, megabytes, said = done.stdout.strip().splitlines()[-1].split("\t", 2)
    print(f"{name} | {door} | {said[:110]} | {seconds} | {megabytes}")
    assert re.search(CASES[name].says, said)
    assert int(megabytes) < 1400
