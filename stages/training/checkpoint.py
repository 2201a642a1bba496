"""What a training run keeps while it runs: checkpoints, its progress, the wish to stop, and its result.

All of it lies in the node's scratch folder and none of it is data. A checkpoint is a folder that all
processes write together (`stages.training.state`). `Saver` is what the loop sees; `FolderSaver` keeps the
folders itself (under `torchrun`, and in processes of one's own), Ray Train's keeps them in its storage
(`stages.training.ray_trainer`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import DataError, UserError

STOP, PROGRESS, RESULT, ERROR = "stop", "progress.json", "result.pt", "error.json"
LAST_FILE = ".metadata"  # of a checkpoint; a folder without it is a save that was cut short


class Wish(IntEnum):
    """What the first process wants of all, said along with the numbers of a step."""

    NOTHING = 0
    STOP = 1  # save and end
    ASK = 2  # find out together whether a machine is about to go


class Saver(Protocol):
    """All processes call `restore`, `save` and `losing_machines` equally often; the first alone calls the
    others.
    """

    def restore(self) -> AbstractContextManager[Path | None]:
        """The folder of the last whole checkpoint, for as long as the context lasts."""
        ...

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Keep the state of a run that has done `step` steps; `write` puts this process's part into a
        folder.
        """
        ...

    def wish(self) -> Wish: ...

    def losing_machines(self) -> bool:
        """Whether a machine of the run is about to be taken away, and no earlier call has said so."""
        ...

    def progress(self, **values: Any) -> None: ...

    def finish(self, result: dict[str, Any]) -> None:
        """Keep the result of a finished run."""
        ...


class Scratch:
    """A folder for mutable files, on a file system or at a URI that `pyarrow.fs` knows."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._local = Path(place) if "://" not in place else None
        if self._local is None:
            from pyarrow import fs

            self._remote, self._root = fs.FileSystem.from_uri(place)

    def exists(self, name: str) -> bool:
        if self._local is not None:
            return (self._local / name).exists()
        from pyarrow import fs

        return self._remote.get_file_info(f"{self._root}/{name}").type != fs.FileType.NotFound

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        if not self.exists(name):
            return None
        if self._local is not None:
            return (self._local / name).read_bytes()
        with self._remote.open_input_stream(f"{self._root}/{name}") as stream:
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file; a reader sees the old bytes or the new ones."""
        if self._local is None:
            with self._remote.open_output_stream(f"{self._root}/{name}") as stream:
                stream.write(data)
            return
        self._local.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._local, prefix=f".{name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._local / name)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        if self._local is not None:
            (self._local / name).unlink(missing_ok=True)
        elif self.exists(name):
            self._remote.delete_file(f"{self._root}/{name}")


class RunFiles:
    """The part of a `Saver` that is files of the scratch folder whoever starts the processes."""

    def __init__(self, scratch: str) -> None:
        self.scratch = Scratch(scratch)

    def wish(self) -> Wish:
        return Wish.STOP if self.scratch.exists(STOP) else Wish.NOTHING

    def losing_machines(self) -> bool:
        return False

    def progress(self, **values: Any) -> None:
        self.scratch.write(PROGRESS, json.dumps(values).encode())

    def finish(self, result: dict[str, Any]) -> None:
        self.scratch.write(RESULT, to_bytes(result))

    def fail(self, error: UserError) -> None:
        """Keep an error that the reader of the message can mend; every further try would end in it too."""
        self.scratch.write(ERROR, json.dumps([error.place, error.found, error.expected, error.then]).encode())

    def error(self) -> DataError | None:
        """The error that ended the run."""
        data = self.scratch.read(ERROR)
        return None if data is None else DataError(*json.loads(data))


class FolderSaver(RunFiles):
    """Checkpoints as folders in one that all processes see."""

    KEPT = 2

    def __init__(self, scratch: str) -> None:
        super().__init__(scratch)
        self.folder = Path(scratch) / "checkpoints"

    def whole(self) -> list[Path]:
        """The finished checkpoints, the oldest first."""
        return [folder for folder in sorted(self.folder.glob("step_*")) if (folder / LAST_FILE).exists()]

    @contextmanager
    def restore(self) -> Iterator[Path | None]:
        whole = self.whole()
        yield whole[-1] if whole else None

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        folder = self.folder / f"step_{step:010d}"
        if is_first_process():
            _remove_checkpoint(folder)  # what a save left that was cut short
        _wait_for_others()  # who writes makes the folder first, and would make it while it is removed
        write(folder)
        if is_first_process():
            kept = self.whole()[-self.KEPT :]
            for old in self.folder.glob("step_*"):
                if old not in kept:
                    _remove_checkpoint(old)


def _remove_checkpoint(folder: Path) -> None:
    # first what makes it whole: a removal may be cut short too
    (folder / LAST_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def is_first_process() -> bool:
    """Whether this is the first process of its group, or the only one."""
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_rank() == 0


def _wait_for_others() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


def to_bytes(result: dict[str, Any]) -> bytes:
    """A result as bytes; floats and tensors come back bit for bit."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(result, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """The inverse of `to_bytes`; loads tensors and plain values only, never code."""
    import io

    import torch

    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
