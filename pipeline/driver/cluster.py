"""The Ray that a driver works on: started or joined when the first work is due, and watched from then on."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.driver.drift import begin_anew, edited, look_again
from pipeline.errors import DriftError, UserError

if TYPE_CHECKING:
    from pipeline.ray_runtime.tasks import Width
    from pipeline.ray_runtime.unhandled import Unhandled
    from pipeline.ray_runtime.watch import Watch


class RaySession:
    """Ray on this machine, or the one at `address`. `tell` and `awaited` are those of a `Watch`."""

    def __init__(
        self, cpus: int | None, address: str | None, tell: Callable[[str], None], awaited: Callable[[], str]
    ) -> None:
        self._cpus, self._address, self._tell, self._awaited = cpus, address, tell, awaited
        self._width: Width | None = None
        self._watch: Watch | None = None
        self._unhandled: Unhandled | None = None
        self._found = 0

    def start(self, passes: bool) -> int:
        """Start or join Ray, once; `passes`: shards go through phases. Return the CPUs that may be used."""
        if self._width is not None:
            return self._found
        from pipeline.ray_runtime import session

        where = self._address or os.environ.get("RAY_ADDRESS")
        self._tell(f"joining Ray at {where}..." if where else "starting Ray on this machine...")
        have = os.cpu_count() or 1
        if not where and self._cpus is not None and self._cpus > have:
            self._tell(f"{self._cpus} CPUs are asked for, but this machine has {have}")
        self._found = session.start(self._cpus, self._address, self._tell)
        from pipeline.ray_runtime.tasks import Width  # this imports ray, which needs its settings first
        from pipeline.ray_runtime.unhandled import Unhandled
        from pipeline.ray_runtime.watch import Watch

        self._width = Width(self._cpus)
        self._watch = Watch(self._tell, self._awaited, session.is_local())
        self._watch.start()
        self._unhandled = Unhandled(self._tell)
        self._unhandled.open()
        if passes:
            from pipeline.ray_runtime.passes import warm

            threading.Thread(target=warm, name="warm-ray-data", daemon=True).start()
        return self._found

    @property
    def started(self) -> bool:
        return self._width is not None

    def look_again(self, here: bool) -> None:
        """Look at the code anew, and leave the Ray of an earlier run of this process if its workers hold modules that
        have changed since. Raises DriftError where this process is to do the work (`here`) and may hold them.
        """
        look_again()
        changed = edited()
        if changed and here:
            raise DriftError(
                "this process", "files of code have changed since it read them",
                "a process that has read them as they are", "start Python anew, or run on Ray: here=False",
            )  # fmt: skip
        if not changed:
            return
        begin_anew()
        if "ray" in sys.modules:
            from pipeline.ray_runtime import session

            session.leave()

    @property
    def width(self) -> Width:
        """How many tasks to keep in flight, once Ray has started."""
        assert self._width is not None
        return self._width

    def heard(self, trouble: bool) -> None:
        """Note that a task has ended. In trouble, raise what `require_ray` does: tasks fail where Ray has died."""
        if trouble:
            self.require_ray()
        if self._watch is not None:
            self._watch.heard()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise what `require_ray` does in the place of an error that came of it."""
        try:
            yield
        except UserError:
            self.require_ray()
            raise

    def require_ray(self) -> None:
        """Raise UserError where the head of a local Ray or this driver's raylet has died; end what is left."""
        if self._watch is None:
            return
        try:
            self._watch.require_ray()
        except UserError:
            from pipeline.ray_runtime import session

            session.kill()
            raise

    def close(self) -> None:
        """End the watch; Ray stays."""
        if self._watch is not None:
            self._watch.close()
        if self._unhandled is not None:
            self._unhandled.close()
