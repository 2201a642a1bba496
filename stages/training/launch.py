"""One training process outside Ray: started by `torchrun`, or alone.

    torchrun --nproc-per-node 2 -m stages.training.launch JOB

JOB is a pickled `Training`; checkpoints and the result lie in its scratch folder, and the same command resumes. With
`--max-restarts N` a group that lost a process is started again by `torchrun`, from the last whole checkpoint.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from stages.training.checkpoint import Saver
from stages.training.training import Training
from stages.training.worker import train


def run(training: Training) -> str:
    """Train as the process that `torchrun`'s variables name; without them, as the only one."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    process_rank = int(os.environ.get("RANK", "0"))
    if world_size > 1:
        store, _, _ = next(rendezvous("env://", process_rank, world_size))
        store = of_this_start(store, process_rank, world_size)
        dist.init_process_group(store=store, rank=process_rank, world_size=world_size)
    try:
        return train(
            training, Saver(training.scratch), process_rank, world_size, int(os.environ.get("LOCAL_RANK", "0"))
        )
    finally:
        if world_size > 1:
            dist.destroy_process_group()


def of_this_start(store: Store, process_rank: int, world_size: int) -> Store:
    """The part of a store that belongs to this start of the group, whatever an earlier one has left in it.

    `torchrun` keeps one store over all its restarts, and torch writes the addresses of processes under the same names
    each time: a process that looks before another has written anew finds the address of a dead one, and fails or waits
    for whoever has that port now. So the first process draws a name, the others sign up under it, and the name counts
    for those whose signature it has confirmed.
    """
    mine = uuid.uuid4().hex
    if process_rank == 0:
        store.set("start", mine)
        signed = [store.get(f"{mine}/{other}").decode() for other in range(1, world_size)]
        store.set(f"{mine}/signed", " ".join(signed))
        return PrefixStore(mine, store)
    while True:
        name = store.get("start").decode()
        store.set(f"{name}/{process_rank}", mine)
        with suppress(dist.DistStoreError):
            store.wait([f"{name}/signed"], timedelta(seconds=1))
            if mine in store.get(f"{name}/signed").decode().split():
                return PrefixStore(name, store)
            time.sleep(0.05)  # a name of an earlier start


def leave() -> NoReturn:
    """End this process, whose work is done, without Python's own end.

    A model in shards leaves its groups in caches of torch, and their threads running. One that gives back a tensor
    while Python ends aborts the process (seen in one exit of five).
    """
    os._exit(0)


if __name__ == "__main__":
    # a training is code to whoever unpickles it, so only files of one's own belong here
    print(run(pickle.loads(Path(sys.argv[1]).read_bytes())), flush=True)
    leave()
