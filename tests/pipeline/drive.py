"""A driver in a process of its own: `python drive.py JSON` runs the whole test graph and prints what became of it.

Keys: store, paths, name, here, cpus, address, wait, lines (of progress, printed), changed (fields by label). Exit codes
are those of the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]


def main(wish: dict[str, Any]) -> int:
    from corpus import whole

    from pipeline.driver.execute import Options, run
    from pipeline.errors import SiftloomError
    from pipeline.progress.lines import ProgressLines

    graph = whole(tuple(wish["paths"]), **wish.get("changed", {}))
    here = wish.get("here", False)
    cpus = None if here else wish.get("cpus", 1)
    options = Options(here=here, cpus=cpus, address=wish.get("address"), wait=wish.get("wait", True))
    watcher = ProgressLines(sys.stderr) if wish.get("lines") else None
    try:
        run(graph, name=wish.get("name", "whole"), store=wish["store"], options=options, watcher=watcher)
    except SiftloomError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def start(environment: dict[str, str] | None = None, **wish: Any) -> subprocess.Popen[str]:
    """Begin a driver that leads a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "drive.py"), json.dumps(wish, default=str)],
        env={**os.environ, **(environment or {})}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(driver: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a driver; its error output, after checking its exit code."""
    _, errors = driver.communicate(timeout=280)
    assert driver.returncode == code, errors
    return errors


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
