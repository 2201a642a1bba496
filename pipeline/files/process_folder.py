"""A private folder for large files of one process, such as the weights of a model: it goes when the process has ended.

A process that ends by itself removes its own. What a killed one has left is removed by whoever looks next on that
machine: a process that makes its folder, or a driver after a pass. The folders lie in `cache.private_folder()`; the
name of each says whose it is.
"""

from __future__ import annotations

import atexit
import os
import shutil
from functools import cache
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.files.cache import private_folder
from pipeline.files.owner import Owner


def process_folder() -> Path:
    """The folder of this process; made again where somebody has tidied it away."""
    folder = _own(private_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _own(private: Path) -> Path:
    sweep()
    owner = Owner.here()
    folder = private / "processes" / f"{owner.boot}_{_word(owner.space)}_{owner.pid}_{owner.started}"
    atexit.register(_remove_own, folder, owner.pid)
    return folder


def _remove_own(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not a child that was forked
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of processes that are known to have ended; nothing where the private folder cannot be used."""
    try:
        folders = list((private_folder() / "processes").glob("*_*_*_*"))
    except (OSError, StoreError):  # whoever needs a folder there says so
        return
    for folder in folders:
        boot, space, pid, started = folder.name.split("_")
        here = Owner.here()
        of_here = (boot, space) == (here.boot, _word(here.space))
        if of_here and Owner(here.boot, here.space, int(pid), int(started), "").is_dead():
            shutil.rmtree(folder, ignore_errors=True)


def _word(space: str) -> str:
    """A PID namespace (`pid:[4026531836]`) as a part of a file name."""
    return "".join(letter for letter in space if letter.isalnum())


if hasattr(os, "register_at_fork"):  # a child of a fork is another process, with a folder of its own
    os.register_at_fork(after_in_child=_own.cache_clear)
