"""What is told of a process that has died: by its place, once, and not before steps go on."""

import os
import socket

from stages.training import deaths
from stages.training.scratch import Scratch


def progress(pid):
    return {"pid": pid, "resumed_at": 100, "steps": 400, "step": 110}


def test_the_one_that_died_is_told_and_not_those_that_failed_for_want_of_it(tmp_path):
    scratch, here = Scratch(str(tmp_path)), f"(pid {os.getpid()} on {socket.gethostname()})"
    for rank in range(2):
        deaths.enter(scratch, rank, 2)
    assert deaths.told(scratch, progress(1)) is None
    deaths.note(scratch, {0: "RuntimeError: Connection closed by peer", 1: None})
    assert deaths.told(scratch, {"damaged_checkpoint": "step_1"}) is None
    assert deaths.told(scratch, progress(os.getpid())) is None, "from before the death"
    line = f"worker 2 of 2 {here} died; the training goes on from step 100 of 400"
    assert deaths.told(scratch, progress(1)) == line
    assert deaths.told(scratch, progress(1)) is None
    deaths.note(scratch, {0: "RuntimeError: no room"})
    assert deaths.told(scratch, progress(1)).startswith(f"worker 1 of 2 {here} failed: RuntimeError: no room; the")


def test_a_process_that_is_alone_finds_the_place_of_the_one_before(tmp_path):
    scratch = Scratch(str(tmp_path))
    deaths.enter_alone(scratch)
    assert deaths.told(scratch, progress(1)) is None
    deaths.enter_alone(scratch)
    assert deaths.told(scratch, progress(1)).startswith("the training process (pid")
    deaths.enter_alone(scratch)
    deaths.forget(scratch)
    assert deaths.told(scratch, progress(1)) is None
    deaths.enter_alone(scratch)
    assert deaths.told(scratch, progress(1)) is None, "what another driver left is none of this one's"
