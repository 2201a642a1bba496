"""A task in a process of its own, for libraries that keep hidden state between calls. Ray has its own way.

    python -m pipeline.worker.fresh TASK OUTCOME

TASK is a pickled (binding, phase, key) of the process that waits for this one; OUTCOME is where the outcome goes.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from pipeline.errors import Stopped, UserError
from pipeline.files import faults
from pipeline.results.binding import Binding
from pipeline.results.receipts import Receipt
from pipeline.worker.tasks import TaskOutcome, try_task

HOME = Path(__file__).resolve().parents[2]


class TraceBehind(RuntimeError):
    """The trace of a task that failed in a process of its own."""


def run_fresh(binding: Binding, phase: str, key: str) -> tuple[Receipt, int]:
    """Run a task in a new process; return its receipt and the peak of the process in bytes. Raises what the task
    raises, and UserError where the process dies.
    """
    with tempfile.TemporaryDirectory(prefix="siftloom-") as folder:
        task, found, said = Path(folder, "task"), Path(folder, "outcome"), Path(folder, "said")
        task.write_bytes(pickle.dumps((binding, phase, key)))
        command = [sys.executable, "-m", "pipeline.worker.fresh", str(task), str(found)]
        # a session of its own: Ctrl-C drains it, and does not end it
        with said.open("wb") as errors, subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as process:  # fmt: skip
            code = process.wait()
        if code or not found.exists():
            last = said.read_text(errors="replace").strip().splitlines()[-1:]
            raise UserError(
                f"{binding.place.node.kind()}.{phase}, {key}",
                ": ".join([f"its process has died with exit code {code}", *last]),
                "a process that lives", "run again; siftloom doctor looks at this machine",
            )  # fmt: skip
        outcome: TaskOutcome = pickle.loads(found.read_bytes())
    if outcome.error is not None:
        raise outcome.error from TraceBehind(outcome.trace)
    if outcome.receipt is None:
        raise Stopped(signal.SIGTERM)
    return outcome.receipt, outcome.memory


def environment() -> dict[str, str]:
    """Return the environment of a worker: it imports from where this process does, and its libraries use one thread."""
    paths = dict.fromkeys([str(HOME), os.getcwd(), *(path for path in sys.path if path and os.path.isdir(path))])
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return {
        **os.environ, **faults.environment(), "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": threads,
    }  # fmt: skip


def _end_with_parent() -> None:
    """End this process when the one that waits for it has died: nobody writes to its input, which ends then."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # a task is code to whoever unpickles it, so only files of one's own belong here
    binding, phase, key = pickle.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(pickle.dumps(try_task(binding, phase, key)))
