"""Starting Ray here, or joining the Ray that is there, without a word on the screen."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import Stopped, UserError
from pipeline.files import faults
from pipeline.files.process_folder import sweep
from pipeline.files.secrets import masked

STORE = "SIFTLOOM_STORE"  # may hold a key; workers are told the store, and Ray shows what stands in an environment
OURS = ("siftloom", "pipeline", "stages", "models", "recipes")
# Shard descriptors and receipts need little; the rows that flow to a phase with a model are whole shards of text.
OBJECT_STORE_BYTES = 1024**3
ANSWER_SECONDS = 20.0  # that the head of a cluster may take to answer; Ray waits for minutes, without a word
STARTS = 3  # of a local Ray: on a busy machine one of its processes may come too late, and Ray gives up

_local = False  # whether this process has started a Ray of its own
_ours = False  # whether it was started or joined here


def quiet_environment() -> None:
    """Settings that must stand before ray is imported; what the user set is left alone."""
    for name, value in {
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",  # of datasets that a run's rows are read as
        "RAY_DATA_LOG_LEVEL": "ERROR",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        # A group of training workers waits for its CPUs while passes and other trainings hold them.
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3600",
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Trainings bring several helper processes each; Ray warns of that on the screen from four times this number on.
        "RAY_worker_maximum_startup_concurrency": "8",
        # Ray tells of dead workers on the screen, past its other settings; what it skips it does not print. The engine
        # names the task and the cause.
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
        # Of every pool of actors Ray's core says on the screen that its arguments could get lost.
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        "RAY_task_oom_retries": "3",  # for ever, unless set
        # What the processes of a local Ray have to come up, where Ray lets it be set; it waits 15 to 30 s.
        "RAY_gcs_server_port_wait_time_s": "120",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_agent_register_timeout_ms": "300000",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module="ray")


def start(cpus: int | None, address: str | None, tell: Callable[[str], None] = lambda line: None) -> int:
    """Join the cluster at `address` or RAY_ADDRESS, else start a local Ray sized to this machine.

    Returns the CPUs that may be used: `cpus` when it is given and there are as many, else all. `tell` is given a line
    where the start is tried again.
    """
    quiet_environment()
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        os.environ.setdefault("RAY_enable_metrics_collection", "0")  # nobody could scrape it
        _close_to_others()
    elif address.startswith("ray://"):
        raise UserError(
            f"ray at {address}", "an address of Ray Client, which is no place for a driver",
            "HOST:6379, on a machine of the cluster", "siftloom submit, which starts the driver there",
        )  # fmt: skip
    else:
        _require_answer(address)
    atexit.register(sweep)  # before ray registers its own, so after that has ended the workers
    import ray

    global _local, _ours
    if not ray.is_initialized():
        _local, _ours = not address, True
        # Workers find our packages, and the user's own modules, where the driver finds them.
        home = str(Path(__file__).resolve().parents[2])
        paths = dict.fromkeys([home, os.getcwd(), *(p for p in sys.path if p and os.path.isdir(p))])
        env = {
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH", "")])]),
            "PYTHONWARNINGS": "ignore",
            **{name: os.environ[name] for name in os.environ if name.startswith("SIFTLOOM_") and name != STORE},
            **faults.environment(),
        }
        options: dict = {
            "logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True,
            "runtime_env": {"env_vars": env, "worker_process_setup_hook": _our_packages(home)},
        }  # fmt: skip
        if not address:
            options |= {
                "address": "local",  # else Ray looks for a cluster on this machine, whoever's it is
                "num_cpus": cpus or os.cpu_count(), "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }  # fmt: skip
        else:
            options["address"] = address
        _hide_command_line()
        for left in range(0 if address else STARTS - 1, -1, -1):
            before = _descendants()
            try:
                with _silent_stderr(), _kept_signals():
                    ray.init(**options)
                break
            except Stopped:
                raise
            except Exception as error:  # on a busy machine Ray gives up with a plain Exception
                if not left:
                    raise UserError(
                        f"ray at {address or 'this machine'}", f"{error}", "a Ray that answers",
                        "the same command again when the machine is less busy, or siftloom doctor",
                    ) from error  # fmt: skip
                tell(f"Ray has not come up ({' '.join(str(error).split())}): starting it again")
                ray.shutdown()
                _end(_descendants() - before)
    _quiet_loggers()
    found = int(ray.cluster_resources().get("CPU", 1))
    return min(cpus or found, found)


def _require_answer(address: str) -> None:
    """Raise UserError where nobody listens at an address of a cluster, `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + ANSWER_SECONDS
    while host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise UserError(
                    f"ray at {address}", f"nobody answers ({error.strerror or error})",
                    "the head of a cluster that runs", "ray status there; unset RAY_ADDRESS to run on this machine",
                ) from error  # fmt: skip
            time.sleep(0.5)


def _hide_command_line() -> None:
    """Mask secrets in this process's command line: Ray shows it as that of the job, and `ps` to everybody."""
    import psutil
    from ray import _raylet

    private: Any = _raylet
    words = psutil.Process().cmdline()
    if any(masked(word) != word for word in words):
        private.setproctitle(" ".join(map(_masked_alike, words)))


def _masked_alike(word: str) -> str:
    """Return a word masked in as many bytes as it had. What a shorter one would leave over shows as empty words."""
    shown = masked(word)
    return shown.replace("***", "*" * (3 + len(word.encode()) - len(shown.encode())), 1) if shown != word else word


def _close_to_others() -> None:
    """Make a local Ray serve this run only: it listens on the loopback address, and asks for a token of this run.

    Ray gives a token by itself, but one for all runs, which it keeps in the home folder.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # named after where it is the default


def is_local() -> bool:
    """Return whether Ray was started here, for this driver alone."""
    return _local


def _our_packages(home: str) -> Callable[[], None]:
    """Return a function for the start of a worker: imports of our packages then find ours.

    Ray puts the driver's folder before PYTHONPATH, and that folder may hold a user's `models.py`. The function travels
    by value, because importing it would already need our packages.
    """
    names = OURS

    def put_first() -> None:
        import sys
        from importlib.machinery import PathFinder

        class OursFirst:
            @staticmethod
            def find_spec(name, path=None, target=None):
                return PathFinder.find_spec(name, [home]) if name in names else None

        sys.meta_path.insert(0, OursFirst)  # type: ignore[arg-type]

    put_first.__module__ = "__main__"
    return put_first


def leave() -> None:
    """Let the next `start` begin with new workers, unless the user has started this Ray."""
    if _ours:
        stop()


def stop() -> None:
    """Shut a local Ray down, or leave a cluster."""
    global _ours
    import ray

    ray.shutdown()
    _ours = False


def kill() -> None:
    """End every process of a local Ray whose head has died: its agents would outlive it."""
    import psutil
    import ray

    private: Any = ray
    node = private._private.worker._global_node
    if not _local or node is None:
        return
    started = [process.process.pid for group in node.all_processes.values() for process in group]
    tree: set[psutil.Process] = set()
    for pid in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree |= {psutil.Process(pid), *psutil.Process(pid).children(recursive=True)}
    _end(tree)


def _descendants() -> set[Any]:
    import psutil

    return set(psutil.Process().children(recursive=True))


def _end(processes: set[Any]) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _quiet_loggers() -> None:
    for name in ("ray", "ray.data", "ray.train", "ray.tune", "ray._private", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from ray.util.annotations import RayDeprecationWarning

    # The versions of Ray that we run with are pinned; what a later one takes away is ours to know, not the user's.
    warnings.filterwarnings("ignore", category=RayDeprecationWarning)


@contextlib.contextmanager
def _kept_signals():
    """`ray.init` puts a handler of SIGTERM that exits at once in the place of the driver's own, which drains."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as leaving:
        if leaving.code != signal.SIGTERM:
            raise
        raise Stopped(signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, own)


@contextlib.contextmanager
def _silent_stderr():
    """Ray's C++ core writes to the file descriptor, past Python's logging."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
