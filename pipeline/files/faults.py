"""Points at which a kill test may end a run.

`SIFTLOOM_KILL="<text in the place>:<point>[:<n>]"` kills the driver's process group (and the process that reaches the
point) with SIGKILL the n-th time that any process of the run reaches it, once: the file `SIFTLOOM_KILL_MARK` says that
it has happened. With `SIFTLOOM_KILL_ALONE=1` only the process that reaches the point dies: a worker. Unset, which is
always outside the kill tests, a point costs one dictionary look-up.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

VARIABLE, GROUP, MARK, ALONE = "SIFTLOOM_KILL", "SIFTLOOM_KILL_GROUP", "SIFTLOOM_KILL_MARK", "SIFTLOOM_KILL_ALONE"


def environment() -> Mapping[str, str]:
    """Return the variable that tells workers the driver's process group, which a kill test ends."""
    return {GROUP: str(os.getpgid(0))} if os.environ.get(VARIABLE) else {}


def point(place: str, name: str) -> None:
    """Where a run may be killed; the place is a node's folder, with `/<phase>` behind it for a task.

    `before-data`, `before-receipt`, `after-receipt` of a task, `after-piece` of a long shard, `before-manifest`,
    `after-manifest` of a node, and `log-<event>` of whatever a long task tells of itself.
    """
    wish = os.environ.get(VARIABLE)
    if not wish:
        return
    where, _, rest = wish.partition(":")
    which, _, nth = rest.partition(":")
    if where not in place or which != name:
        return
    group = int(os.environ.get(GROUP) or os.getpgid(0))
    mark = Path(os.environ.get(MARK) or Path(tempfile.gettempdir(), f"siftloom-killed-{group}"))
    if mark.exists() or _passed(mark.with_suffix(".passed")) < int(nth or 1):
        return
    mark.write_text(f"{place} {name}\n")
    if not os.environ.get(ALONE):
        os.killpg(group, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _passed(path: Path) -> int:
    """How often the point has been reached by all processes together, this time included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(".")
        file.flush()
        return path.stat().st_size
