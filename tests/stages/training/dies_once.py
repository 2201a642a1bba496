"""One training process of a test under `torchrun`, the first of whose group is killed once, in its second checkpoint.

torchrun --nproc-per-node 2 --max-restarts 1 -m tests.stages.training.dies_once JOB
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from stages.training.launch import leave, run
from stages.training.state import Part

written = Part.write


def killed(self, folder, process_rank):
    mark = folder.parents[1] / "died"
    if folder.name.endswith("6") and process_rank == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return written(self, folder, process_rank)


if __name__ == "__main__":
    Part.write = killed
    run(pickle.loads(Path(sys.argv[1]).read_bytes()))
    leave()
