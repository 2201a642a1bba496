"""Real Ray Train: the bits of a plain process for 1, 2 and a pair of workers, after a SIGKILL of one, after a stop."""

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time

import psutil
import pytest

from models.optim_config import AdamW
from pipeline.errors import DataError, UserError
from stages.training.checkpoint import PROGRESS, RESULT, STOP, Saver
from stages.training.messenger import Messenger
from stages.training.ray_trainer import fit
from stages.training.worker import train
from tests.stages.training.rows import changed
from tests.stages.training.test_shards import assert_close
from tests.stages.training.test_worker import assert_same_bits, at, job, result
from tests.stages.training.toys.held import Held

__all__ = ["job"]  # the fixture

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def long(job):
    return changed(job, steps=400, checkpoint_every=100, log_interval=1)


def wait_until(holds, fitting):
    """Poll while the run goes on."""
    while fitting.is_alive():
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("the run ended before it could be disturbed")


def test_two_workers_under_ray_give_the_bits_of_one_plain_process(job, tmp_path):
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    fit(at(job, tmp_path / "ray", workers=2, max_failures=0), "run")
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "ray"))
    assert result(tmp_path / "ray")["resources"]["workers"] == 2


def test_more_room_than_the_machine_has_is_named_with_what_would_fit(job):
    for changes, then in (({"threads": 10**6}, "set threads: "), ({"device": "cuda"}, "set device: cpu")):
        with pytest.raises(UserError, match=rf"of this Ray\. Next: {then}"):
            fit(changed(job, workers=1, max_failures=0, **changes), "run")
    with pytest.raises(UserError, match=r"of this Ray\. Next: set workers: 1"):
        fit(changed(job, workers=10**6, max_failures=0), "run")


@pytest.mark.faults  # 40 s for the size that Ray Train settles on; the bits of a group are in the test above
def test_a_pair_of_workers_takes_what_the_machine_has_and_gives_the_same_bits(job, tmp_path):
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    fit(at(job, tmp_path / "ray", workers=(1, 4), max_failures=0), "run")
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "ray"))
    assert result(tmp_path / "ray")["resources"]["workers"] == 2


@pytest.mark.faults  # 36 s: shards of two processes without Ray are in test_shards, a group is in the test above
def test_shards_under_ray_leave_a_checkpoint_that_one_plain_process_goes_on_from(job, tmp_path):
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    fit(at(job, tmp_path / "ray", shard=2, fingerprint=job.fingerprint, workers=2, max_failures=0), "run")
    assert_close(result(tmp_path / "ray"), result(tmp_path / "plain"))
    last = Saver(str(tmp_path / "ray")).whole()[-1]
    parts = {"part-00000.safetensors", "part-00001.safetensors"}
    assert {path.name for path in (tmp_path / "ray" / last).iterdir()} == {"checkpoint.json", *parts}
    whole = Saver(str(tmp_path / "whole"))
    shutil.copytree(tmp_path / "ray" / last, tmp_path / "whole" / last)
    train(at(job, tmp_path / "whole"), whole, 0, 1)
    assert result(tmp_path / "whole")["resources"]["resumed_at"] == 9
    assert_close(result(tmp_path / "whole"), result(tmp_path / "plain"))


@pytest.mark.faults  # two minutes each, of deaths
@pytest.mark.parametrize("workers", [1, 2], ids=["a plain task", "a group"])
def test_a_killed_worker_is_replaced_and_the_bits_are_those_of_the_unbroken_run(long, tmp_path, workers):
    train(at(long, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    broken = at(long, tmp_path / "broken")
    told = []
    fitting = threading.Thread(target=fit, args=(changed(broken, workers=workers, max_failures=3), "run"))
    with Messenger(Saver(broken.scratch), lambda: False, told.append):
        fitting.start()
        wait_until(lambda: Saver(broken.scratch).whole() and Saver(broken.scratch).scratch.exists(PROGRESS), fitting)
        pid = json.loads(Saver(broken.scratch).scratch.read(PROGRESS))["pid"]
        os.kill(pid, signal.SIGKILL)
        fitting.join()
    resumed = result(tmp_path / "broken")["resources"]["resumed_at"]
    who = "the training process" if workers == 1 else "worker 1 of 2"
    [line] = [values["notice"] for values in told if "notice" in values]
    assert line == (
        f"{who} (pid {pid} on {socket.gethostname()}) died; the training goes on from step {resumed} of 400"
    )
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "broken"))
    assert result(tmp_path / "broken")["resources"]["resumed_at"] >= 100


def processes(name):
    """Those of Ray that have this name."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ends while the others are looked at
            if f"ray::{name}" in " ".join(each.cmdline()):
                found.append(each)
    return found


def kill_at_a_checkpoint(name, scratch, fitting, meanwhile=lambda: None):
    """Kill the process of Ray that has a name, once the run has a checkpoint and goes on."""
    files, known = Saver(scratch), Saver(scratch).scratch.read(PROGRESS)
    wait_until(lambda: processes(name) and files.scratch.read(PROGRESS) != known, fitting)
    wait_until(files.whole, fitting)
    meanwhile()
    processes(name)[0].kill()


@pytest.fixture
def brief(job):
    return changed(job, steps=150, checkpoint_every=10, log_interval=1)


@pytest.mark.faults  # a minute and more, of deaths
@pytest.mark.timeout(600)
def test_a_killed_controller_counts_as_a_lost_worker(brief, tmp_path):
    hold, left = tmp_path / "hold", []

    def keep_them() -> None:
        hold.touch()
        left.extend(processes("RayTrainWorker"))

    brief = changed(brief, objective=Held(file=str(hold)))
    train(at(brief, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    broken = at(brief, tmp_path / "broken")
    fitting = threading.Thread(target=fit, args=(changed(broken, workers=2, max_failures=1), "run"))
    fitting.start()
    kill_at_a_checkpoint("TrainController", broken.scratch, fitting, meanwhile=keep_them)
    # its workers live on for a moment: held, they cannot end the run before they are ended themselves
    assert len(left) == 2
    wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left), fitting)
    hold.unlink()
    fitting.join()
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "broken"))
    assert result(tmp_path / "broken")["resources"]["resumed_at"] >= 10


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_too_many_deaths_are_named_and_the_same_command_goes_on(brief, tmp_path):
    train(at(brief, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    broken = at(brief, tmp_path / "broken")
    raised = []

    def try_it(workers):
        try:
            fit(changed(broken, workers=workers, max_failures=0), "run")
        except BaseException as error:
            raised.append(error)

    cases = [
        (2, "TrainController", "Ray Train's controller"), (2, "RayTrainWorker", "a training process"),
        (1, "run_alone", "the training process"),
    ]  # fmt: skip
    for workers, name, who in cases:
        fitting = threading.Thread(target=try_it, args=(workers,))
        fitting.start()
        kill_at_a_checkpoint(name, broken.scratch, fitting)
        fitting.join()
        error = raised.pop()
        assert isinstance(error, UserError), error
        assert error.found.startswith(who)
        assert "has died: " in error.found
        assert "\n" not in str(error)
        assert str(error).endswith("at most 0 (max_failures). Next: run again: it goes on from its last checkpoint")
    fit(changed(broken, workers=2, max_failures=0), "run")
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "broken"))


@pytest.mark.long
def test_a_diverging_run_ends_in_its_own_error_at_once(job, tmp_path):
    wild = at(job, tmp_path, optimizer=AdamW(lr=1e30, clip=0.0, weight_decay=0.0))
    fit(changed(wild, workers=1, max_failures=3), "run")
    error = Saver(wild.scratch).error()
    assert isinstance(error, DataError)
    assert "step" in error.place
    assert "optimizer.lr" in error.then
    assert not Saver(wild.scratch).scratch.exists(RESULT)


@pytest.mark.long
def test_stopped_with_two_workers_it_goes_on_with_one(long, tmp_path):
    train(at(long, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    stopped = at(long, tmp_path / "stopped")
    files, wish, told = Saver(stopped.scratch), threading.Event(), []
    fitting = threading.Thread(target=fit, args=(changed(stopped, workers=2, max_failures=0), "run"))
    with Messenger(files, wish.is_set, told.append):
        fitting.start()
        wait_until(lambda: files.scratch.exists(PROGRESS), fitting)
        wish.set()
        fitting.join()
    assert not files.scratch.exists(RESULT)
    assert told
    assert set(told[0]) >= {"step", "steps", "loss", "tokens_per_second"}
    files.scratch.remove(STOP)
    fit(changed(stopped, workers=1, max_failures=0), "run")
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "stopped"))
    assert result(tmp_path / "stopped")["resources"]["resumed_at"] >= 1
