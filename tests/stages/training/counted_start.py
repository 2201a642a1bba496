"""One process of a test: how many SVDs it makes until its first step can begin, noted in the scratch folder.

    python -m tests.stages.training.counted_start JOB

JOB is a pickled `Training`.
"""

import os
import pickle
import sys
from pathlib import Path

import torch.distributed as dist

from models import lost_init
from stages.training.checkpoint import Saver
from stages.training.launch import leave
from stages.training.worker import Trainer, prepare


def main(job):
    made, spectrum = [], lost_init.spectrum
    lost_init.spectrum = lambda W: made.append(W.shape) or spectrum(W)
    process_rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if processes > 1:
        dist.init_process_group()
    with Saver(job.scratch).restore() as checkpoint:
        trainer = Trainer(job, process_rank, processes, prepare(job.node), checkpoint)
    (Path(job.scratch) / f"made-{process_rank}").write_text(str(len(made)))
    if process_rank == 0:
        Saver(job.scratch).scratch.write("weights", pickle.dumps([p.tolist() for p in trainer.trained[:12]]))
    if processes > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(pickle.loads(Path(sys.argv[1]).read_bytes()))
    leave()
