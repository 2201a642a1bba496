"""The only process of a training whose disk is full; says what error it leaves.

python -m tests.stages.training.full_disk JOB
"""

import pickle
import sys
from contextlib import suppress
from pathlib import Path

from stages.training.checkpoint import Saver
from stages.training.ray_trainer import run_alone

if __name__ == "__main__":
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    with suppress(Exception):
        run_alone(job)
    print(Saver(job.scratch).error())
