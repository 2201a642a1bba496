"""What each process of a training runs, and how its errors reach the driver."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.errors import DiskFull, StoreError, UserError
from pipeline.files.refusals import named
from pipeline.quantities import size
from stages.training import deaths
from stages.training.checkpoint import Saver
from stages.training.memory import file_bytes
from stages.training.training import Training

if TYPE_CHECKING:
    from stages.training.stream_feed import Passes


def run_alone(training: Training) -> None:
    """What the only process runs when no group is needed."""
    saver = Saver(training.scratch)
    deaths.enter_alone(saver.scratch)
    run_process(training, saver, 0, 1, 0, None)


def run_process(
    training: Training, saver: Saver, process_rank: int, world_size: int, local_rank: int, passes: Passes | None
) -> None:
    """Train, and leave an error that all processes meet where their driver finds it."""
    from stages.training.worker import train

    try:
        train(training, saver, process_rank, world_size, local_rank, passes)
    except StoreError:
        raise  # one process has met it, and the others wait for it: the group is started again
    except UserError as error:
        # all processes computed the same numbers and are here together; raising would only start them again
        if process_rank == 0:
            saver.fail(error)
    except Exception as error:
        # the others wait for this process: the group has to end, and its driver finds the reason
        refused = named(error, str(training.scratch), "folder")
        if refused is None:
            raise
        if isinstance(refused, DiskFull):
            bytes_ = size(file_bytes(training.node, training.vocab_size))
            wanted = f"room for two checkpoints, with the model about {bytes_}; {refused.found}"
            refused = DiskFull(refused.place, "no space left for a checkpoint", wanted, refused.then)
        with suppress(OSError, StoreError):  # there may be no room for the reason either
            saver.fail(refused)
        raise refused from error
