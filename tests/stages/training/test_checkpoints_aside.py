"""Checkpoints in a thread: the state of their step though training goes on, a kill in the middle, the same bits."""

import gc
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from stages.training.checkpoint import RESULT, Saver
from stages.training.launch import of_this_start
from stages.training.process import garbage_kept_back
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture

CPU = torch.device("cpu")
THREE, SIX, NINE = (f"checkpoints/step_{step:010d}" for step in (3, 6, 9))


@pytest.fixture
def aside(job):
    return changed(job, async_checkpoints="on")


def test_a_checkpoint_holds_its_own_step_and_the_older_one_goes_when_it_is_whole(aside, tmp_path):
    saver, trainer = Saver(aside.scratch), Trainer(aside, 0, 1, CPU)
    held, free = {}, threading.Event()
    for step in range(1, 5):
        trainer.train_step()
        write = trainer.written(copied=True)
        held[step] = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}

        def slowly(folder, write=write, step=step):
            if step == 4:
                free.wait(60)
            return write(folder)

        saver.save(step, slowly, trainer.rest(), aside=True)
    trainer.train_step()  # the fourth is not written yet
    assert [name[-1] for name in saver.whole()] == ["2", "3"]
    free.set()
    saver.settle()
    assert [name[-1] for name in saver.whole()] == ["3", "4"]
    assert sorted(saver.scratch.names("checkpoints")) == ["step_0000000003", "step_0000000004"]
    with saver.restore() as checkpoint:
        assert set(path.name for path in checkpoint.folder.iterdir()) == {"checkpoint.json", *checkpoint.files}
        assert len(checkpoint.rest["record"]["loss"]) == 4
        kept = load_file(checkpoint.folder / checkpoint.files[0])
    assert all(
        torch.equal(tensor, held[4][name.removeprefix("model/")]) for name, tensor in kept.items() if "model/" in name
    )
    trainer.feed.close()


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_a_kill_in_the_middle_of_a_save_leaves_the_one_before(aside, tmp_path, before, after):
    train(at(aside, tmp_path / "whole", async_checkpoints="off"), Saver(str(tmp_path / "whole")), 0, 1)
    folder = tmp_path / "killed"
    started = start(aside, folder, before, "tests.stages.training.killed_in_save")
    started[0].wait(120)
    for process in started:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    saver = Saver(str(folder))
    assert saver.whole() == [THREE]
    assert not saver.scratch.exists(f"{SIX}/checkpoint.json")
    assert not saver.scratch.exists(RESULT)
    finish(start(aside, folder, after))
    assert result(folder)["resources"]["resumed_at"] == 3
    assert_same_bits(result(tmp_path / "whole"), result(folder))
    assert saver.whole() == [SIX, NINE]


def test_who_survives_a_kill_in_a_save_ends_by_itself(aside, tmp_path, monkeypatch):
    """The first process waits for a note of the dead one in a thread that Python's end would wait for too."""
    monkeypatch.setenv("KILLED_RANK", "1")
    first, second = start(aside, tmp_path / "killed", 2, "tests.stages.training.killed_in_save")
    try:
        assert second.wait(120) == -signal.SIGKILL
        assert first.wait(60) == 1
    finally:
        first.kill()
    assert Saver(str(tmp_path / "killed")).whole() == [THREE]


@pytest.mark.timeout(60)
def test_a_group_that_starts_again_meets_nothing_of_an_earlier_start():
    """`torchrun` keeps its store over restarts: here it holds a whole start, and one of which the first process signed
    up alone.
    """
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def begin(*ranks):
        def one(process_rank):
            return of_this_start(dist.TCPStore("127.0.0.1", server.port, is_master=False), process_rank, 3)

        return [threads.submit(one, process_rank) for process_rank in ranks]

    with ThreadPoolExecutor(9) as threads:
        for store in begin(0, 1, 2):
            store.result().set("address", "of a dead process")
        late = begin(1, 2)
        while server.get("start") == b"" or not all(
            server.check([f"{server.get('start').decode()}/{rank}"]) for rank in (1, 2)
        ):
            pass
        stores = [store.result() for store in [*begin(0), *late]]
    assert not any(store.check(["address"]) for store in stores)
    stores[1].set("address", "new")
    assert [store.get("address") for store in stores] == [b"new"] * 3


def test_pythons_search_for_circles_waits_for_common_steps_and_comes_back():
    gc.collect()
    before = gc.get_freeze_count()
    with garbage_kept_back():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > before
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
