"""CPU time of a tree of processes, and the memory of its largest one."""

from __future__ import annotations

import threading

import psutil


class TreeCpu:
    """CPU seconds of this process and all below it, those that have ended in the meantime included.

    memory  most bytes of physical memory that one of them was seen to hold
    """

    memory = 0

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()
        self._look()
        self._start = self.total()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def total(self) -> float:
        return sum(self._seconds.values())

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self._look()

    def _look(self) -> None:
        this = psutil.Process()
        for process in [this, *this.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
                self.memory = max(self.memory, process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue

    def stop(self) -> float:
        """CPU seconds since the start."""
        self._stop.set()
        self._thread.join()
        self._look()
        return self.total() - self._start
