"""One training process outside Ray: started by `torchrun`, or alone.

    torchrun --nproc-per-node 2 -m stages.training.launch JOB

JOB is a pickled `Job`; checkpoints and the result lie in its scratch folder, and the same command resumes.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import NoReturn

import torch.distributed as dist

from stages.training.checkpoint import Saver
from stages.training.job import Job
from stages.training.worker import train


def run(job: Job) -> str:
    """Train as the process that `torchrun`'s variables name; without them, as the only one."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    process_rank = int(os.environ.get("RANK", "0"))
    if world_size > 1:
        dist.init_process_group()
    try:
        return train(job, Saver(job.scratch), process_rank, world_size, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        if world_size > 1:
            dist.destroy_process_group()


def leave() -> NoReturn:
    """End this process, whose work is done, without Python's own end.

    A model in shards leaves its groups in caches of torch, and their threads running. One that gives back a tensor
    while Python ends aborts the process (seen in one exit of five).
    """
    os._exit(0)


if __name__ == "__main__":
    # a job is code to whoever unpickles it, so only files of one's own belong here
    print(run(pickle.loads(Path(sys.argv[1]).read_bytes())), flush=True)
    leave()
