"""The raylet that this driver works through: Ray's process on its machine, whose death Ray does not tell."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

import psutil
import ray


@dataclass(frozen=True)
class Raylet:
    """A raylet as a process of this machine, and where its own log lies."""

    process: psutil.Process
    log: str

    @property
    def died(self) -> bool:
        """Whether it is gone; nobody reaps it before its driver has ended."""
        try:
            return self.process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return True


def find_raylet() -> Raylet | None:
    """Return this driver's raylet, None where it cannot be seen: in another container of the machine, say."""
    private: Any = ray
    node = private._private.worker._global_node
    if node is None:
        return None
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != "raylet":
            continue
        with contextlib.suppress(psutil.Error):
            if any(word.endswith(f"={node.raylet_socket_name}") for word in process.cmdline()):
                return Raylet(process, os.path.join(node.get_logs_dir_path(), "raylet.out"))
    return None
