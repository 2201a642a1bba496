"""What a training run keeps while it runs: checkpoints, its progress, the request to stop, and its result.

All of it lies in the node's scratch folder, on a disk or at a URI, and none of it is data.

A checkpoint is a folder `checkpoints/step_<n>`: each process writes its part (`stages.training.state`), and the first
one writes `checkpoint.json` last, which names the parts with their sizes and SHA-256. A folder without it is a save
that was cut short, and one whose parts are not those that it names is damaged: both are passed over for the one before.
Nothing in it can run code: tensors are safetensors, the rest is JSON. An old checkpoint goes when a newer one is whole.

A save may run beside the training, in a thread of each process with a copy of the state. No process of it waits for
another one: each leaves a note of its files in the folder, and the thread of the first one, when it has found all
notes, writes the manifest. The next save, and the end of the run, wait for it and raise what it raised.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.contract import Store
from pipeline.errors import DataError, ObjectDamaged, UserError
from stages.training.scratch import Scratch, on_disk

STOP, PROGRESS, ERROR = "stop", "progress.json", "error.json"
RESULT, MODEL = "result.json", "result.safetensors"
MANIFEST, NOTE = "checkpoint.json", "written-"
FORMAT = 1
KEPT = 2  # checkpoints
LOOK_SECONDS = 1.0  # between looks for a request to stop: on an object store each is a request
REPORT_SECONDS = 0.5  # between reports of progress


class Request(IntEnum):
    """What the first process wants of all, said along with the numbers of a step."""

    NONE = 0
    STOP = 1  # save and end
    LOOK = 2  # find out together whether a machine is about to go


class CutShort(Exception):
    """A save that one of the processes did not live to finish; its folder is passed over."""


class Checkpoint(NamedTuple):
    """A whole checkpoint: a folder on this machine, its parts, and the JSON values that were saved beside them."""

    folder: Path
    files: list[str]
    rest: dict[str, Any]


class Saver:
    """All processes call `restore`, `save`, `settle` and `losing_machines` equally often; the first alone calls the
    others.
    """

    def __init__(self, scratch: Store | str) -> None:
        self.scratch = Scratch(scratch)
        self._looked = self._reported = float("-inf")
        self._aside: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._given_up = threading.Event()

    # checkpoints -----------------------------------------------------------------------------------------------------

    def newest_rest(self) -> dict[str, Any] | None:
        """The JSON values of the checkpoint that `restore` will give; for one process, before the others start."""
        name = self._newest()
        return None if name is None else json.loads(self.scratch.read(f"{name}/{MANIFEST}") or b"")["rest"]

    @contextmanager
    def restore(self) -> Iterator[Checkpoint | None]:
        """The newest whole checkpoint, for as long as the context lasts."""
        name = from_first_process(self._newest)
        if name is None:
            yield None
            return
        manifest = json.loads(self.scratch.read(f"{name}/{MANIFEST}") or b"")
        digests = _digests(manifest)
        with self.scratch.folder(name, digests) as folder:
            yield Checkpoint(folder, sorted(digests), manifest["rest"])
        wait_for_others()  # of one machine all read the same copies
        self.scratch.forget(name, digests)

    def save(self, step: int, write: Callable[[Path], Sequence[str]], rest: dict[str, Any], *, aside=False) -> None:
        """Keep the state of a run that has done `step` steps. `write` puts this process's files into a folder and
        returns their names; `rest` are JSON values, from the first process, that stay as they are.

        `aside`: return at once; `write` runs in a thread and must hold what it writes. Else it is done on return.
        """
        self.settle()
        name = f"checkpoints/step_{step:010d}"
        if is_first_process():
            self._remove(name)  # what a save left that was cut short
        wait_for_others()  # who writes makes the folder first, and would make it while it is removed
        self._aside = self._thread.submit(self._save, name, write, rest, *place_in_group())
        if not aside:
            self.settle()
            wait_for_others()

    def settle(self) -> None:
        """Return when the last save of this process has ended; raises what it raised."""
        last, self._aside = self._aside, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """End the thread. A save that still waits for the note of another process is given up: that process may be
        dead, and this one could never end.
        """
        self._given_up.set()
        self._thread.shutdown()

    def _save(
        self, name: str, write: Callable[[Path], Sequence[str]], rest: dict[str, Any], process_rank: int, processes: int
    ) -> None:
        with self.scratch.new_files(name) as folder:
            files = {}
            for file in write(folder):
                on_disk(folder / file)
                files[file] = described(folder / file)
        notes = [f"{name}/{NOTE}{rank:05d}.json" for rank in range(processes)]
        self._write_json(notes[process_rank], files)
        if process_rank:
            return
        found = [self._note(note) for note in notes]
        together = {file: values for note in found for file, values in note.items()}
        self._write_json(f"{name}/{MANIFEST}", {"format": FORMAT, "files": together, "rest": rest})
        for note in notes:
            self.scratch.remove(note)
        for old in [one for one in self._names() if one not in self.whole()[-KEPT:]]:
            self._remove(old)

    def _note(self, note: str) -> dict[str, Any]:
        """What another process has left, when it has; raises CutShort when this run has given the save up."""
        while (data := self.scratch.read(note)) is None:
            if self._given_up.wait(LOOK_SECONDS if self.scratch.local is None else 0.01):
                raise CutShort(note)
        return json.loads(data)

    def whole(self) -> list[str]:
        """Names of the finished checkpoints, the oldest first."""
        return [name for name in self._names() if self.scratch.exists(f"{name}/{MANIFEST}")]

    def _names(self) -> list[str]:
        return [f"checkpoints/{name}" for name in sorted(self.scratch.names("checkpoints")) if name.startswith("step_")]

    def _remove(self, name: str) -> None:
        # first what makes it whole: a removal may be cut short too
        self.scratch.remove(f"{name}/{MANIFEST}")
        self.scratch.remove_folder(name)

    def _newest(self) -> str | None:
        """The newest checkpoint whose parts are those that it names; damaged ones are removed. What cannot be read now
        (OSError) may be whole, and stays.
        """
        for name in reversed(self.whole()):
            try:
                manifest = json.loads(self.scratch.read(f"{name}/{MANIFEST}") or b"")
                if manifest["format"] == FORMAT and "rest" in manifest and self._has_its_parts(name, manifest):
                    return name
            except (FileNotFoundError, ObjectDamaged, ValueError, KeyError, TypeError):
                pass
            self._write_json(PROGRESS, {"damaged_checkpoint": name})
            self._remove(name)
        return None

    def _has_its_parts(self, name: str, manifest: dict[str, Any]) -> bool:
        """Whether the parts of a checkpoint are those that it names. Remote ones are fetched for it, which `restore`
        then finds here; raises ObjectDamaged for others.
        """
        with self.scratch.folder(name, _digests(manifest)) as folder:
            remote = self.scratch.local is None  # held against their digests as they came
            return remote or {file: described(folder / file) for file in manifest["files"]} == manifest["files"]

    # the run ---------------------------------------------------------------------------------------------------------

    def request(self) -> Request:
        """Whether the run should stop; looked up at most once a second."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return Request.NONE
        self._looked = now
        return Request.STOP if self.scratch.exists(STOP) else Request.NONE

    def losing_machines(self) -> bool:
        """Whether a machine of the run is about to be taken away, and no earlier call has said so."""
        return False

    def progress(self, *, last: bool = False, **values: Any) -> None:
        """Tell where the run is, twice a second at most."""
        now = time.monotonic()
        if last or now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._write_json(PROGRESS, values)

    def finish(self, write: Callable[[Path], None], result: dict[str, Any]) -> None:
        """Keep the result of a finished run: a file of its model, which `write` writes, and JSON values."""
        with tempfile.TemporaryDirectory() as folder, self.scratch.new_file(MODEL, Path(folder)) as path:
            write(path)
        self._write_json(RESULT, result)

    def result(self) -> dict[str, Any] | None:
        """The JSON values of a finished run; None when it has not finished."""
        data = self.scratch.read(RESULT)
        return None if data is None else json.loads(data)

    def fail(self, error: UserError) -> None:
        """Keep an error that the reader of the message can mend; every further try would end in it too."""
        self._write_json(ERROR, [error.place, error.found, error.expected, error.then])

    def error(self) -> DataError | None:
        """The error that ended the run."""
        data = self.scratch.read(ERROR)
        return None if data is None else DataError(*json.loads(data))

    def _write_json(self, name: str, values: Any) -> None:
        self.scratch.write(name, json.dumps(values).encode())


def _digests(manifest: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of a checkpoint's parts, by name."""
    return {file: digest for file, (_, digest) in manifest["files"].items()}


def described(path: Path) -> list[Any]:
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return [path.stat().st_size, digest.hexdigest()]


def is_first_process() -> bool:
    """Whether this is the first process of its group, or the only one."""
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_rank() == 0


def wait_for_others() -> None:
    """Return when all processes of the group have called this."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


def from_first_process(ask: Callable[[], Any]) -> Any:
    """What the first process finds, in all of them."""
    import torch.distributed as dist

    if not dist.is_initialized():
        return ask()
    found = [ask() if is_first_process() else None]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def place_in_group() -> tuple[int, int]:
    """Rank of this process, and how many there are."""
    import torch.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
