"""A process, distinct from any other on any machine: boot of the host, PID namespace, pid, and start time."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A driver process, distinct from any other that ever had the same pid."""

    boot: str  # of the host
    space: str  # PID namespace: containers of one host number their processes each for itself
    pid: int
    started: int  # clock ticks since boot
    token: str

    @staticmethod
    def here() -> Owner:
        return Owner(boot_id(), pid_space(), os.getpid(), start_time(os.getpid()) or 0, uuid.uuid4().hex)

    def is_dead(self) -> bool:
        """Return True only where this process can tell: same boot and PID namespace, and no such process."""
        return (self.boot, self.space) == (boot_id(), pid_space()) and start_time(self.pid) != self.started


def boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"unknown-{uuid.getnode():x}"


def pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot, None where there is no such process or it is a zombie.

    Without `/proc` every living process has started at 0.
    """
    if not os.path.exists("/proc/self/stat"):
        import psutil

        return 0 if psutil.pid_exists(pid) else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
