"""Hostile folders at each door: an error that names the file, in bounded time and memory, and a good folder goes in."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="module")
def doors():
    """A process that has loaded the libraries, and forks for each folder."""
    command = [sys.executable, "-m", "tests.stages.hostile_door"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.mark.long
@pytest.mark.parametrize(("name", "door"), EACH)
def test_an_answer_is_an_error_of_ours_within_the_memory(name, door, hostile, doors, tmp_path):
    folder = hostile(name)
    doors.stdin.write(f"{folder}\t{door}\t{tmp_path / 'node'}\n")
    doors.stdin.flush()
    seconds, megabytes, said = json.loads(doors.stdout.readline()).split("\t", 2)
    print(f"{name} | {door} | {said[:150]} | {seconds} | {megabytes}")
    assert re.search(CASES[name].says, said)
    assert not said.startswith(("PASSED", "RAW", "DIED"))
    assert int(megabytes) < 1100
