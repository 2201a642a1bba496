"""The turn of passes with actors: one of them at a time on a Ray, whichever driver it belongs to.

Actors keep their CPUs until their pass ends, and are fed by tasks. So the actors of two passes could hold every CPU
between them, and neither pass could read: both would wait for ever.

The turn is a named actor of Ray that holds nothing. Ray gives a name once, and ends the actor with its driver.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import ray

NAME = "turn-of-actors"
NAMESPACE = "siftloom"
LOOK_SECONDS = 0.5


class _Turn:
    """Nothing: what counts is that it is there."""


@contextlib.contextmanager
def turn(stopping: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[bool]:
    """Wait for the turn, and hold it. Yields whether it was got before `stopping` turned true; `tell` is given one line
    where another pass has it.
    """
    told = False
    while (holder := _take()) is None:
        if stopping():
            yield False
            return
        if not told:
            tell("another pass with actors is at work on this Ray; this one begins when it has ended")
            told = True
        time.sleep(LOOK_SECONDS)
    try:
        yield True
    finally:
        ray.kill(holder)


def _take() -> ray.actor.ActorHandle | None:
    try:
        return ray.remote(num_cpus=0)(_Turn).options(name=NAME, namespace=NAMESPACE).remote()
    except ValueError:  # the name is taken
        return None
