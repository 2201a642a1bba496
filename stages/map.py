"""Your own function as a node: columns, removals or a new text from a batch of rows, or from one row at a
time.

    longer:
      use: map
      docs: docs
      fn: my_rules:letters
      reads: [text]
      writes: {letters: int32}
      removes: [short]
      params: {least: 20}

    def letters(table, least):                   # my_rules.py, on the Python path of every worker
        count = pc.utf8_length(table["text"])
        return {"letters": count, "removed": pc.if_else(pc.less(count, least), "short", None)}

The engine runs a function again when `version` is raised (in Python the field is `version_`). Raise it when the
function gives other values. A row's values may depend on nothing but the row and `params`.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pipeline.arrow import arrow_type
from pipeline.contract import Columns, Context, Form, Node, Removed, RowFunction, RowNode
from pipeline.errors import DataError, RecipeError
from stages.documents import RESERVED, TEXT

if TYPE_CHECKING:
    import pyarrow as pa

REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Map(RowNode):
    """Apply a function of yours to every document.

    fn        the function, as `package.module:function`
    per       `batch`: the function gets a `pyarrow.Table` and returns a mapping from names to arrays as long as the
              table; `row`: it gets a dict and returns a dict
    params    named arguments that the function gets besides
    reads     the columns that it gets
    writes    the columns that it returns, name -> Arrow type (`int32`, `float32`, `string`, `bool`, ...)
    removes   the names of its reasons; it returns one of them, or None, under the name `removed`; the reason is then
              `map.<name>`
    new_text  whether it may return `text`; None there leaves the text of a row unchanged
    version_  (`version` in a recipe) part of the identity: another number runs the function again

    Errors: `DataError` names the function for what it raises and for results that do not fit.
    """

    docs: Node
    fn: Annotated[str, Form("the name of a function that workers can import, package.module:function")]
    version_: int = 1
    per: Literal["batch", "row"] = "batch"
    reads: tuple[str, ...] = (TEXT,)
    writes: dict[str, str] = dataclasses.field(default_factory=dict)
    removes: tuple[str, ...] = ()
    new_text: bool = False
    params: dict[str, Any] = dataclasses.field(default_factory=dict)

    version = 1

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.reads

    @property
    def reasons(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(f"map.{name}" for name in self.removes)

    @property
    def changes_text(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.new_text

    def check(self) -> None:
        module, colon, function = self.fn.partition(":")
        if not (module and colon and function):
            raise RecipeError("map.fn", f"{self.fn!r}", "package.module:function")
        for name in self.writes:
            if name in (*RESERVED, REMOVED):
                raise RecipeError(f"map.writes: {name}", "a reserved name", "another name")
        if not (self.writes or self.removes or self.new_text):
            raise RecipeError(f"map {self.fn}", "a function that changes nothing", "writes, removes or new_text")

    def code(self) -> tuple[str, ...]:
        return (self.fn.partition(":")[0],)

    def adds(self) -> Mapping[str, str]:
        return self.writes

    def open(self, ctx: Context) -> RowFunction:
        function = self._function()
        names = [*self.writes, *([REMOVED] if self.removes else []), *([TEXT] if self.new_text else [])]

        def rows(table: pa.Table) -> Columns:
            try:
                found = self._call(function, table, names)
            except Exception as error:
                # whatever a user's function raises is reported as that function's
                raise DataError(f"map {self.fn}", f"{type(error).__name__}: {error}{_place(error)}") from error
            return self._columns(found, table.num_rows)

        return rows

    def _function(self) -> Callable[..., Any]:
        module, _, name = self.fn.partition(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise DataError(
                f"map {self.fn}",
                str(error),
                "a function that every worker can import",
                "run from its folder, or install its package",
            ) from error

    def _call(self, function: Callable[..., Any], table: pa.Table, names: list[str]) -> Mapping[str, Any]:
        if self.per == "batch":
            return function(table, **self.params)
        answers = [function(row, **self.params) or {} for row in table.to_pylist()]
        extra = {name for answer in answers for name in answer} - set(names)
        return {name: [answer.get(name) for answer in answers] for name in (*names, *sorted(extra))}

    def _columns(self, found: Mapping[str, Any], rows: int) -> Columns:
        import pyarrow as pa

        found = dict(found)
        removed = self._array(found.pop(REMOVED), "string", rows, REMOVED) if REMOVED in found else None
        text = self._array(found.pop(TEXT), "string", rows, TEXT) if TEXT in found else None
        if set(found) != set(self.writes) or (text is not None and not self.new_text):
            names = ", ".join(sorted({*found, *([TEXT] if text is not None else [])})) or "nothing"
            raise DataError(f"map {self.fn}", f"it returned {names}", ", ".join(self.writes) or "no columns")
        if removed is not None:
            unknown = set(removed.unique().to_pylist()) - {None, *self.removes}
            if unknown:
                raise DataError(f"map {self.fn}", f"the reason {min(unknown)!r}", f"one of {', '.join(self.removes)}")
            removed = pa.array([None if name is None else f"map.{name}" for name in removed.to_pylist()], pa.string())
        added = {name: self._array(found[name], kind, rows, name) for name, kind in self.writes.items()}
        return Columns(added=added, removed=None if removed is None else Removed(removed), text=text)

    def _array(self, values: Any, kind: str, rows: int, name: str) -> pa.Array:
        import pyarrow as pa

        wanted = arrow_type(kind)
        try:
            if isinstance(values, pa.ChunkedArray):
                values = values.combine_chunks()
            array = values.cast(wanted) if isinstance(values, pa.Array) else pa.array(values, wanted)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"map {self.fn}", f"{name}: {error}", f"{kind} values") from error
        if len(array) != rows:
            raise DataError(f"map {self.fn}", f"{name} of {len(array)} values", f"{rows}, one for each row")
        return array


def _place(error: Exception) -> str:
    """Return where the user's code raised: file, line and function of the innermost frame outside of this module."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    return f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
