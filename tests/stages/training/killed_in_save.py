"""One training process of a test that is killed in the thread of its second checkpoint, with half of a file written.

python -m tests.stages.training.killed_in_save JOB
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from stages.training.launch import run
from stages.training.state import Part

written = Part.write


def killed(self, folder, process_rank):
    names = written(self, folder, process_rank)
    if folder.name.endswith("6"):
        for name in names:
            os.truncate(folder / name, (folder / name).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return names


if __name__ == "__main__":
    Part.write = killed
    run(pickle.loads(Path(sys.argv[1]).read_bytes()))
