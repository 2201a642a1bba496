"""One training process of a test that is killed in the thread of its second checkpoint, with half of a file written.

python -m tests.stages.training.killed_in_save JOB

With KILLED_RANK that process of its group alone is killed, and under `torchrun` it is killed once.
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from stages.training.launch import leave, run
from stages.training.state import StatePart

written = StatePart.write


def killed(self, folder, process_rank):
    names = written(self, folder, process_rank)
    chosen = os.environ.get("KILLED_RANK", str(process_rank)) == str(process_rank)
    if folder.name.endswith("6") and chosen and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        for name in names:
            os.truncate(folder / name, (folder / name).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return names


if __name__ == "__main__":
    StatePart.write = killed
    run(pickle.loads(Path(sys.argv[1]).read_bytes()))
    leave()
