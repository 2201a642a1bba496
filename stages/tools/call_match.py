"""Calls of tools against the right ones: how much is right, and what is wrong first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Columns, Node
from pipeline.errors import RecipeError
from stages.batches import BatchNode
from stages.documents import TEXT, columns_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class CallMatch(BatchNode):
    """Hold a call, written `weather(city="Lyon", days=3)`, against the right one. It is parsed, so the order of the
    arguments and the form of a value do not count, and words in common count for nothing.

    answer    the column of the call
    expected  the column of the right call; a text that is no call says that none is to be made

    Adds: `call_reward` float32, a quarter each for the name, the number of arguments, their names and their values;
    `call_exact` bool, whether all are right; `call_error` string, what is wrong first: `no_call` (none can be read),
    `needless_call`, `name`, `arity`, `keys`, `values`, or `none`.
    """

    docs: Node
    answer: str = TEXT
    expected: str = "expected"

    def check(self) -> None:
        have = columns_of(self.docs)
        for field, name in (("answer", self.answer), ("expected", self.expected)):
            if have.get(name) != "string":
                names = ", ".join(sorted(each for each, type_ in have.items() if type_ == "string"))
                raise RecipeError(f"call_match.{field}", f"no string column {name!r}", f"one of {names}")

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(dict.fromkeys((self.answer, self.expected)))

    def adds(self):
        return {"call_reward": "float32", "call_exact": "bool", "call_error": "string"}

    def rows(self, table: pa.Table) -> Columns:
        import pyarrow as pa

        from stages.tools.call import grade

        columns = (table[name].to_pylist() for name in (self.answer, self.expected))
        found = [grade(answer or "", expected or "") for answer, expected in zip(*columns, strict=True)]
        return Columns(
            added={
                "call_reward": pa.array([one.reward for one in found], pa.float32()),
                "call_exact": pa.array([one.error is None for one in found], pa.bool_()),
                "call_error": pa.array([one.error or "none" for one in found], pa.string()),
            }
        )
