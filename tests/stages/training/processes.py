"""Training processes of one group, as torchrun starts them, but for the imports: the import of torch and its compiler
is nine tenths of a short training. So each is forked from one process that has imported them and has done nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import runpy
import socket
import sys
from pathlib import Path

from stages.training.training import Training

ROOT = Path(__file__).resolve().parents[3]
LAUNCH = "stages.training.launch"
FORKS = multiprocessing.get_context("forkserver")
IMPORTED = ["stages.training.worker", "torch._inductor.config", "torch.distributed.fsdp", "pandas", "pytest", __name__]
FORKS.set_forkserver_preload(IMPORTED)


class Launched:
    """A process, with the words of `subprocess.Popen`."""

    def __init__(self, module: str, arguments: list[str], environment: dict[str, str]) -> None:
        self._process = FORKS.Process(target=_run, args=(module, arguments, environment), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise TimeoutError(f"a training process still runs after {seconds} s")
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def _run(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    """What `python -m MODULE ARGUMENTS` does."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def group(training: Training, folder: Path, processes: int, module: str = LAUNCH) -> list[Launched]:
    """Begin a training; the file that tells its processes of it lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.pkl").write_bytes(pickle.dumps(training))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return [
        Launched(module, [str(folder / "job.pkl")], {**os.environ, **shared, "RANK": str(rank)})
        for rank in range(processes)
    ]
