"""One process of a test: a save whose first process takes its time to remove what an earlier one has left.

    python -m tests.stages.training.slow_removal JOB

Every process notes, when its turn to write comes, whether the old folder was still there.
"""

import pickle
import sys
import time
from pathlib import Path

import torch.distributed as dist

from stages.training.checkpoint import Saver


def main(scratch: Path) -> None:
    saver = Saver(str(scratch))
    remove = saver.scratch.remove_folder

    def slowly(folder):
        time.sleep(1)
        remove(folder)

    saver.scratch.remove_folder = slowly
    dist.init_process_group()
    old = scratch / "checkpoints" / f"step_{7:010d}" / "cut-short"
    if dist.get_rank() == 0:
        old.mkdir(parents=True)
    dist.barrier()

    def write(folder):
        (scratch / f"there-{dist.get_rank()}").write_text(str(old.exists()))
        return []

    saver.save(7, write, {})
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(pickle.loads(Path(sys.argv[1]).read_bytes()).scratch))
