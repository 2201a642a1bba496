"""A function of ours that works on what a stranger wrote, in a process with limits on time, memory and its answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS, MEMORY, ANSWER, WALL = 5, 1 << 30, 8 << 20, 120.0


class Exceeded(Exception):
    """The function went beyond a limit, or failed; the argument says which, as a clause."""


def environment() -> dict[str, str]:
    """For a process that imports what this one imports. It can do without `site`, which takes longer to start than all
    else, and which alone knows where an editable copy is: a worker may have been given paths after it began.
    """
    paths = [str(Path(__file__).parents[1]), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def call(function: str, argument: Any, *, seconds: int = SECONDS, memory: int = MEMORY) -> Any:
    """The answer of `module:function`. `seconds` of CPU and `memory` count from when the function's module is loaded,
    not for the interpreter; the wall time is for a process that waits. Raises Exceeded.
    """
    command = [sys.executable, "-S", "-m", "stages.bounded", function, str(seconds), str(memory)]
    quiet = {"TOKENIZERS_PARALLELISM": "false", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    with tempfile.TemporaryFile() as answer:
        try:
            done = subprocess.run(
                command, input=json.dumps(argument).encode(), stdout=answer, stderr=subprocess.PIPE, timeout=WALL,
                env=environment() | quiet, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Exceeded(f"no end in {WALL:g} s") from None
        answer.seek(0)
        if done.returncode == 0:
            said = json.loads(answer.read())
            if "error" in said:
                raise Exceeded(said["error"])
            return said["answer"]
    ended = {
        -signal.SIGXCPU: f"no end in {seconds} s of CPU",
        -signal.SIGKILL: "killed from outside, as a machine does for want of memory",
        -signal.SIGXFSZ: f"an answer of more than {ANSWER >> 20} MB",
        -signal.SIGABRT: f"more than {memory >> 20} MB of memory",
        -signal.SIGSEGV: "a crash of the library",
    }
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    raise Exceeded(ended.get(done.returncode, f"exit code {done.returncode} ({''.join(last)[:200]})"))


def _main() -> None:
    import resource
    from importlib import import_module

    module, _, name = sys.argv[1].partition(":")
    seconds, memory = int(sys.argv[2]), int(sys.argv[3])
    argument = json.loads(sys.stdin.buffer.read())
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what a library prints is no answer
    function = getattr(import_module(module), name)
    held = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + 1 + seconds
    limits = ((resource.RLIMIT_AS, held + memory), (resource.RLIMIT_CPU, until), (resource.RLIMIT_FSIZE, ANSWER),
              (resource.RLIMIT_CORE, 0))  # fmt: skip
    for kind, limit in limits:
        try:
            resource.setrlimit(kind, (limit, limit + 2))  # at the second of CPU it is killed, at the first told which
        except (OSError, ValueError):
            continue  # a system that has no such limit, or holds a lower one
    try:
        said: dict[str, Any] = {"answer": function(argument)}
    except MemoryError:
        said = {"error": f"more than {memory >> 20} MB of memory"}
    except BaseException as error:  # what Rust panics with is no Exception
        said = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    try:
        text = json.dumps(said).encode()
    except MemoryError:
        text = json.dumps({"error": f"more than {memory >> 20} MB of memory"}).encode()
    if len(text) > ANSWER:
        text = json.dumps({"error": f"an answer of {len(text):,} bytes, more than {ANSWER:,}"}).encode()
    out.write(text)
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
