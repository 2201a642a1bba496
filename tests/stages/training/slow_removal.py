"""One process of a test: a save whose first process takes its time to remove what an earlier one has left.

    python -m tests.stages.training.slow_removal JOB

Every process notes, when its turn to write comes, whether the old folder was still there.
"""

import pickle
import sys
import time
from pathlib import Path

import torch.distributed as dist

from stages.training import checkpoint


def main(scratch: Path) -> None:
    remove, saver = checkpoint._remove_checkpoint, checkpoint.FolderSaver(str(scratch))

    def slowly(folder):
        time.sleep(1)
        remove(folder)

    checkpoint._remove_checkpoint = slowly
    dist.init_process_group()
    old = saver.folder / f"step_{7:010d}" / "cut-short"
    if dist.get_rank() == 0:
        old.mkdir(parents=True)
    dist.barrier()
    saver.save(7, lambda folder: (scratch / f"there-{dist.get_rank()}").write_text(str(old.exists())))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(pickle.loads(Path(sys.argv[1]).read_bytes()).scratch))
