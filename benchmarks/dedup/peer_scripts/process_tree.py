"""CPU and memory of this process and of all below it, those that end meanwhile included.

Nothing else counts them: a raylet ignores SIGCHLD, so what its workers have used is lost to everybody when they end.
The interpreters of other tools import this file too, so it needs `psutil` alone.
"""

import threading
import time

import psutil


class Watch(threading.Thread):
    """Looks at every process ten times a second, from `start()` to `stop()`.

    `cpu`: seconds, user and system, that they used in between, but for what the looking took; of a process that ended,
    up to the last look at it. `memory`: bytes, the largest private set of any, by name.
    """

    EVERY = 0.1  # seconds

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.cpu, self.memory = 0.0, {}
        self._me, self._over = psutil.Process(), threading.Event()
        self._before: dict[tuple[int, float], float] = {}
        self._last: dict[tuple[int, float], float] = {}

    def start(self) -> None:
        self._look()
        self._before = dict(self._last)
        super().start()

    def run(self) -> None:
        while not self._over.wait(self.EVERY):
            self._look()
        self._look()
        self.cpu = sum(self._last.values()) - sum(self._before.values()) - time.thread_time()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _look(self) -> None:
        for process in [self._me, *self._me.children(recursive=True)]:
            try:
                used, size = process.cpu_times(), process.memory_info()
                name = "driver" if process.pid == self._me.pid else process.name()[:24]
                self._last[process.pid, process.create_time()] = used.user + used.system
            except psutil.NoSuchProcess:
                continue
            self.memory[name] = max(self.memory.get(name, 0), size.rss - size.shared)
