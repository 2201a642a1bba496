"""Who died when a training lost a process and starts again. A dead process says nothing: each leaves its place when it
starts, whoever notices the death leaves a note, and the driver tells it with the first step that follows.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from stages.training.scratch import Scratch

DIED, PROCESSES = "died.json", "processes"


def forget(scratch: Scratch) -> None:
    """Before a driver starts a training: what was left belongs to another one."""
    scratch.remove(DIED)
    scratch.remove_folder(PROCESSES)


def enter(scratch: Scratch, process_rank: int, world_size: int) -> None:
    """Leave this process's place."""
    place = {"host": socket.gethostname(), "pid": os.getpid(), "of": world_size}
    scratch.write(_file(process_rank), json.dumps(place).encode())


def enter_alone(scratch: Scratch) -> None:
    """Leave the place of the only process; where one is left already, that one has died."""
    if scratch.exists(_file(0)):
        note(scratch, {0: None})
    enter(scratch, 0, 1)


def note(scratch: Scratch, lost: Mapping[int, str | None]) -> None:
    """Say which processes of a group are lost: rank -> its error, None for one that has died."""
    died = [rank for rank, error in lost.items() if error is None]
    who = [_described(scratch, rank, lost[rank]) for rank in sorted(died or lost)]  # the others fail for want of it
    first = _place(scratch, 0).get("pid")
    scratch.write(DIED, json.dumps({"who": "; ".join(who), "first_pid": first}).encode())


def told(scratch: Scratch, progress: Mapping[str, Any]) -> str | None:
    """The line about a death that progress has got over since; once."""
    data = scratch.read(DIED)
    if data is None or "pid" not in progress:
        return None
    died = json.loads(data)
    if progress["pid"] == died["first_pid"]:
        return None  # from before
    scratch.remove(DIED)
    return f"{died['who']}; the training goes on from step {progress['resumed_at']} of {progress['steps']}"


def _described(scratch: Scratch, rank: int, error: str | None) -> str:
    place = _place(scratch, rank)
    many = place.get("of", 1)
    name = "the training process" if many == 1 else f"worker {rank + 1} of {many}"
    where = f" (pid {place['pid']} on {place['host']})" if place else ""
    return f"{name}{where} died" if error is None else f"{name}{where} failed: {error}"


def _place(scratch: Scratch, rank: int) -> dict[str, Any]:
    return json.loads(scratch.read(_file(rank)) or b"{}")


def _file(rank: int) -> str:
    return f"{PROCESSES}/{rank:05d}.json"
