"""What follows a training while it runs: readers of the log of its steps, in the driver.

A sink gets every step once, in order. It reads what the training processes have written (`stages.training.step_log`),
so that a service that is slow, or down, cannot hold up a step, and credentials stay with the driver: a sink finds them
in its own library's places, and nothing of them enters the recipe, the training or the store. A sink that fails while
the training runs is left out and named in an event; one that cannot start is an error before the training does.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal, Protocol

from pipeline.contract import Store
from pipeline.errors import StoreError
from pipeline.safe_text import clipped
from stages.training.scratch import Scratch
from stages.training.step_log import LOG

Metrics = Literal["jsonl", "tensorboard", "wandb", "mlflow"]
TENSORBOARD = "metrics/tensorboard"
LOOK_SECONDS = 0.5
REMOTE_SECONDS = 10.0  # between reads of a log on an object store, each of the whole

Tell = Callable[..., None]


class Sink(Protocol):
    """One reader of the log; `first` is the first step that it does not hold yet."""

    name: str
    first: int

    def add(self, step: int, values: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in a folder, made anew from the log: an open TensorBoard forgets what it knew."""

    name, first = "tensorboard", 0

    def __init__(self, folder: str) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(folder, purge_step=0)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Follower:
    """Gives sinks the steps of a log, and the steps that stand out to `tell`, which takes an event's name and values.

    `documents`: names of the documents in some rows.
    """

    def __init__(
        self, scratch: Scratch, sinks: Sequence[Sink], tell: Tell, documents: Callable[[list[int]], list[str]]
    ) -> None:
        self.scratch, self.sinks, self._tell, self._documents = scratch, list(sinks), tell, documents
        self._next = 0
        self._at: tuple[int, int] = (0, 0)  # which file, and how many of its bytes are read
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="training-metrics", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        try:
            self.poll()
        except (OSError, StoreError) as error:  # the training has ended well all the same
            self._tell("metrics failed", sink="the log", error=clipped(f"{type(error).__name__}: {error}", 200))
        for sink in self.sinks:
            self._safely(sink, sink.close)

    def _run(self) -> None:
        wait = LOOK_SECONDS if self.scratch.local is not None else REMOTE_SECONDS
        while not self._over.wait(wait):
            with suppress(OSError, StoreError):  # a store that does not answer for a moment is asked again
                self.poll()

    def poll(self) -> None:
        """Hand on what the log has gained."""
        for line in self._new_lines():
            values = json.loads(line)
            step = values.pop("step")
            if step < self._next:
                continue  # a run that went on from a checkpoint comes by here again, with the same numbers
            self._next = step + 1
            if one := values.pop("unusual", None):
                event = "update left out" if one["expected"] is None else "loss spike"
                known = {name: value for name, value in one.items() if name != "step" and value is not None}
                # an event's `step` is that of a progress
                self._tell(event, at=step, **known, documents=self._documents(one["hardest"]))
            numbers = dict(_numbers(values))
            for sink in list(self.sinks):
                if step >= sink.first:
                    self._safely(sink, sink.add, step, numbers)
        for sink in list(self.sinks):
            self._safely(sink, sink.flush)

    def _new_lines(self) -> list[bytes]:
        if self.scratch.local is None:
            data = self.scratch.read(LOG) or b""
            self._at = (0, 0)  # lines that are known are passed over by their steps
        else:
            try:
                with open(self.scratch.local / LOG, "rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    file.seek(self._at[1] if self._at[0] == inode else 0)
                    self._at = (inode, file.tell())
                    data = file.read()
            except FileNotFoundError:
                return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at = (self._at[0], self._at[1] + len(whole))
        return whole.splitlines()

    def _safely(self, sink: Sink, act: Callable[..., None], *values: Any) -> None:
        try:
            act(*values)
        except Exception as error:  # whatever the library of a service raises, the training goes on
            self._tell("metrics failed", sink=sink.name, error=clipped(f"{type(error).__name__}: {error}", 200))
            self.sinks = [one for one in self.sinks if one is not sink]


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Scalars by name; the entries of a list count from 0."""
    for name, value in values.items():
        if isinstance(value, list):
            yield from _numbers({f"{name}/{place}": one for place, one in enumerate(value)})
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


@contextmanager
def following(
    metrics: Sequence[Metrics],
    scratch: Store | str,
    run: str,
    about: Mapping[str, Any],
    tell: Tell,
    documents: Callable[[list[int]], list[str]],
) -> Iterator[None]:
    """Follow the log in `scratch` until the context ends. `run` names the training wherever it is shown and stays the
    same when it goes on, `about` is what it is. Raises MissingExtra or UserError when a sink cannot start.
    """
    place = Scratch(scratch)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for name in dict.fromkeys(metrics):
            if name == "tensorboard":
                place.remove_folder(TENSORBOARD)
                sinks.append(TensorBoard(str(stack.enter_context(place.new_files(TENSORBOARD)))))
            elif name != "jsonl":
                from stages.training.trackers import open_tracker

                sinks.append(open_tracker(name, run, about))
        stack.enter_context(Follower(place, sinks, tell, documents))
        yield
