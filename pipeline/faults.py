"""Points at which a kill test may end a run.

`SIFTLOOM_KILL="<text in the node folder>:<point>[:<n>]"` kills the driver's process group (and this process) with SIGKILL
the n-th time that point is reached. Unset, which is always outside the kill tests, a point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "SIFTLOOM_KILL"
_passed: dict[str, int] = {}


def point(folder: str, name: str) -> None:
    """Where a run may be killed: `before-data`, `before-receipt`, `after-receipt`, `before-manifest`, `after-manifest`."""
    wish = os.environ.get(VARIABLE)
    if not wish:
        return
    where, _, rest = wish.partition(":")
    which, _, nth = rest.partition(":")
    if where not in folder or which != name:
        return
    mark = Path(os.environ.get("SIFTLOOM_KILL_MARK", "/nonexistent"))
    _passed[wish] = _passed.get(wish, 0) + 1
    if _passed[wish] < int(nth or 1) or mark.exists():
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{folder} {name}\n")
    os.killpg(int(os.environ.get("SIFTLOOM_KILL_GROUP", os.getpgid(0))), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
