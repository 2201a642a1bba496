"""How to run; none of it can change a byte."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Who does the work, and what the driver does about others and about changed code.

    here       True: the driver's own process does it, False: Ray does. None: the process where the plan predicts less
               work than the start of Ray costs, else Ray
    documents  that the sources give at most, where that is known; for the prediction
    """

    cpus: int | None = None
    address: str | None = None
    here: bool | None = False
    documents: int | None = None
    wait: bool = True
    accept_drift: bool = False
    # What the run's record keeps:
    packages: tuple[str, ...] = ()  # whose versions
    command: tuple[str, ...] = ()  # that starts the run again, wherever it is typed; its third word is the recipe
    note: str | None = None  # of the user
