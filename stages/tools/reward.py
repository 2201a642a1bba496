"""What an answer is worth: the slot, and the reward of a call.

A reward is a frozen value in the field `reward` of `step_tree`. A new one is a file with a class of this base and a
line in `stages.catalog.REWARDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.fields import Typed
from stages.tools.call import canonical_call, grade


@dataclass(frozen=True, kw_only=True)
class Reward(metaclass=Typed):
    """Base of all rewards. `columns`: the string columns of a document that it reads."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def score(self, answer: str, row: Mapping[str, str]) -> float:
        """What an answer to the document is worth; the same for the same arguments."""
        raise NotImplementedError(f"{type(self).__name__}.score")

    def canonical(self, answer: str) -> str:
        """Equal for two answers, finished or not, that say the same and so are no preference."""
        return answer.strip()


@dataclass(frozen=True, kw_only=True)
class ToolCall(Reward):
    """How much of a call is right (`stages.tools.call`).

    expected  the column of the right call; a text that is no call says that none is to be made
    """

    expected: str = "expected"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.expected,)

    def score(self, answer: str, row: Mapping[str, str]) -> float:
        return grade(answer, row[self.expected]).reward

    def canonical(self, answer: str) -> str:
        return canonical_call(answer)
