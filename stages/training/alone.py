"""A training of one worker without Ray: a plain process, started again where it dies.

    python -m stages.training.alone FILE

FILE holds a pickled `Training` of the process that waits for this one.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from pipeline.errors import UserError
from stages.training.training import Training


def fit_alone(training: Training) -> None:
    """Train to the end, or to a request to stop. Raises UserError where the process died too often, RuntimeError where
    it failed otherwise.
    """
    node, max_failures = training.node, training.node.max_failures
    paths = dict.fromkeys([str(Path(__file__).parents[2]), os.getcwd(), *(p for p in sys.path if os.path.isdir(p))])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(node.threads)}
    with tempfile.TemporaryDirectory(prefix="siftloom-") as folder:
        asked, said = Path(folder, "training"), Path(folder, "said")
        asked.write_bytes(pickle.dumps(training))
        command = [sys.executable, "-m", "stages.training.alone", str(asked)]
        code = 0
        for _ in range(max_failures + 1):
            # a session of its own: Ctrl-C asks it to stop by the driver, and does not end it
            with said.open("wb") as errors, subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stderr=errors, start_new_session=True
            ) as process:  # fmt: skip
                code = process.wait()
            if code == 0:
                return
            if code > 0:  # an error of Python's: it would come again
                raise RuntimeError(said.read_text(errors="replace").strip())
        raise UserError(
            "pretrain", f"the training process has died by signal {-code}",
            f"to lose at most {max_failures} (max_failures)", "run again: it goes on from its last checkpoint",
        )  # fmt: skip


def _end_with_parent() -> None:
    """End this process when the one that waits for it has died: nobody writes to its input, which ends then."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    from stages.training.launch import leave
    from stages.training.one_process import run_alone

    threading.Thread(target=_end_with_parent, daemon=True).start()
    # a pickle is code to whoever unpickles it, so only files of one's own belong here
    run_alone(pickle.loads(Path(sys.argv[1]).read_bytes()))
    leave()
