"""The most memory that this process and all its descendants held at once.

PSS (proportional set size) counts a page that n processes share as 1/n in each, so the sum is what the machine gave up.
Linux tells it in `smaps_rollup`; elsewhere resident sizes are added, which counts shared pages more than once.
"""

from __future__ import annotations

import threading
from pathlib import Path

SAMPLE_SECONDS = 1.5  # asking some forty processes costs the kernel a tenth of a second


class PeakMemory:
    """Samples from a thread while it is open; `peak` is in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, tree_memory())
            if self._closed.wait(SAMPLE_SECONDS):
                return


def tree_memory() -> int:
    """Bytes held now by this process and its descendants."""
    import psutil

    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        try:
            total += _pss(process.pid) or process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # it ended between being listed and being asked
    return total


def _pss(pid: int) -> int | None:
    path = Path(f"/proc/{pid}/smaps_rollup")
    if not path.exists():
        return None
    line = next((line for line in path.read_text().splitlines() if line.startswith("Pss:")), None)
    return int(line.split()[1]) * 1024 if line else None
