"""The admission of passes with actors to a Ray, whichever driver they belong to.

Actors keep their CPUs until their pass ends, and are fed by tasks. So the actors of two passes could hold every CPU
between them, and neither pass could read: both would wait for ever. A pass begins when the CPUs that it may hold, with
one for the task that feeds it, fit beside those of the passes at work; the first fits always.

Ray gives a name to one actor only. So a pass at work is a named actor that holds nothing and whose name says the CPUs,
and the driver that decides holds a second named actor as a lock. Ray ends both with their driver.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import ray

NAMESPACE = "siftloom"
GATE, AT_WORK = "gate-of-actors", "pass-with-actors"
LOOK_SECONDS = 0.5
AT_THE_GATE_SECONDS = 0.05


class _Name:
    """An actor that does nothing. Its name is all that counts."""


@contextlib.contextmanager
def admitted(cpus: float, stopping: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[bool]:
    """Wait until a pass may hold so many CPUs, and let it. Yields whether it may, or False when `stopping` turned true;
    `tell` is given one line where the pass has to wait for another.
    """
    told = False
    while (place := _admit(cpus)) is None:
        if stopping():
            yield False
            return
        if not told:
            tell("another pass with actors is at work on this Ray; this one begins when there are CPUs for both")
            told = True
        time.sleep(LOOK_SECONDS)
    try:
        yield True
    finally:
        ray.kill(place)


def _admit(cpus: float) -> Any:
    while (gate := _named(GATE)) is None:
        time.sleep(AT_THE_GATE_SECONDS)
    try:
        held = [float(name.split()[1]) for name in _names() if name.startswith(AT_WORK)]
        if held and sum(held) + cpus > ray.cluster_resources().get("CPU", 1):
            return None
        return _named(f"{AT_WORK} {cpus} {uuid.uuid4().hex}")
    finally:
        ray.kill(gate)


def _names() -> list[str]:
    from ray.util import list_named_actors

    every: Any = list_named_actors(all_namespaces=True)  # typed as names alone, which it gives for one namespace
    return [each["name"] for each in every if each["namespace"] == NAMESPACE]


def _named(name: str) -> Any:
    """Return an actor of this name, or None where there is one."""
    try:
        return ray.remote(num_cpus=0)(_Name).options(name=name, namespace=NAMESPACE).remote()
    except ValueError:
        return None
