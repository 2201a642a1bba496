"""Every error a user can meet, by name.

Each message has four parts, in this order: the place, what was found, what was expected, and the next command. A plain
exception that reaches the terminal is a bug of ours; a `UserError` is something the reader of the message can mend.
"""

from __future__ import annotations

from typing import Any

from pipeline.files.secrets import masked
from pipeline.safe_text import visible


class SiftloomError(Exception):
    """The root of all named errors."""

    exit_code = 1


class UserError(SiftloomError):
    """Something in the input, the recipe or the environment that the user can mend.

    `place` is where (file:line, node, field, shard); `found` and `expected` are clauses; `then` is the next command.
    Secrets of URIs in them are masked.
    """

    def __init__(self, place: str, found: str, expected: str = "", then: str = "") -> None:
        self.place, self.found, self.expected, self.then = masked([place, found, expected, then])
        message = f"{self.place}: {self.found}"
        if expected:
            message += f"; expected {self.expected}"
        if then:
            message += f". Next: {self.then}"
        super().__init__(visible(message))  # file names and rows may hold characters that steer a terminal

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders: Exception's own pickling would call __init__ with the finished message only.
        return (type(self), (self.place, self.found, self.expected, self.then))


class RecipeError(UserError):
    """The recipe or the graph is wrong; nothing was started."""

    exit_code = 2

    def __init__(self, place: str, found: str, expected: str = "", then: str = "") -> None:
        super().__init__(place, found, expected, then or "mend it, then siftloom plan")


class GraphError(RecipeError):
    """A cycle, a missing or doubled column, two branches of one base."""


class IdentityError(RecipeError):
    """A configuration value that has no stable form."""


class SourceError(UserError):
    """A source that is missing, unreadable, damaged or empty."""


class SourceDamaged(SourceError):
    """A source file that is no whole file of its format. `byte`: at or before which one the damage is, if known."""

    def __init__(self, place: str, found: str, expected: str = "", then: str = "", byte: int | None = None) -> None:
        super().__init__(
            place, found, expected, then or "fetch it again, or set `on_damaged: skip` to go on without it"
        )
        self.byte = byte

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.place, self.found, self.expected, self.then, self.byte))


class SourceChanged(SourceError):
    """A source file whose bytes differ from the digest taken of it."""


class DataError(UserError):
    """A row, column or file that is not what its reader needs."""


class StoreError(UserError):
    """The store cannot be read or written: permissions, space, a store of another format."""


class ObjectDamaged(StoreError):
    """An object that should be in the store is gone, or has other bytes than it should."""


class DiskFull(StoreError):
    """Too little space, found before or while writing."""


class TooLittleMemory(UserError):
    """A run that would hold more than its machine has; found before it starts."""


class DriftError(UserError):
    """Two answers for one name: other bytes for a finished task, or other code for a half-done node."""


class BalanceError(SiftloomError):
    """Rows went missing or appeared: a commit that does not balance. Always a bug of a stage, never of the data."""


class LeaseLost(SiftloomError):
    """Another driver owns the node now; this one must not commit."""


class LeaseHeld(SiftloomError):
    """Another driver holds the node and waiting was not wanted."""

    exit_code = 75


class NodeFailed(SiftloomError):
    """Some tasks of a node failed; the others are done and kept."""


class Stopped(SiftloomError):
    """A signal asked the driver to stop; what ran was drained."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped by signal {signal_number}")

    def __reduce__(self):
        return (type(self), (self.signal_number,))


class MissingExtra(UserError):
    """A library that an extra brings is not installed; the message holds the install command."""
