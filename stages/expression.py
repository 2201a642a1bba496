"""Numbers and conditions over columns, as a user writes them: `log(perplexity) - quality`, `lang == 'en' or x > 0.5`.

The grammar is Python's, the arithmetic Arrow's on float64; a null makes its result null, as in SQL. A number that is
compared with a float32 column is one of float32, so that a score of 0.7 reaches 0.7. Only columns, constants, operators
and the functions below can be named, so an expression of somebody else's recipe is no code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from pipeline.errors import RecipeError

if TYPE_CHECKING:
    import pyarrow as pa

FUNCTIONS = {"log": "ln", "exp": "exp", "sqrt": "sqrt", "abs": "abs"}
SEVERAL = {"min": "min_element_wise", "max": "max_element_wise", "coalesce": "coalesce"}
ARITHMETIC = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
COMPARISONS = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal",
    ast.NotEq: "not_equal",
}  # fmt: skip
USABLE = re.compile(r"string|bool|u?int\d+|float\d*|double|halffloat")  # types of columns
CONDITIONS = {ast.And: "and_kleene", ast.Or: "or_kleene"}
NESTED = 50  # levels of parentheses and operators; nobody writes more, and Python's stack ends


@dataclass(frozen=True)
class Expression:
    """A parsed expression. `columns`: the names it reads, in the order of the text."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]

    @property
    def condition(self) -> bool:
        """Whether it is true or false, not a number."""
        return _condition(self.tree)

    def values(self, table: pa.Table) -> Any:
        """One value for each row: bool for a condition, else float64; null where a column that it needs is null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = _value(self.tree, table)
        if isinstance(found, pa.Scalar):
            found = pa.array([found.as_py()] * table.num_rows)
        if isinstance(found, pa.ChunkedArray):
            found = found.combine_chunks()
        return pc.cast(found, pa.bool_() if self.condition else pa.float64(), safe=False)


def parse(text: str, place: str, columns: tuple[str, ...] | dict[str, str]) -> Expression:
    """Read an expression over these columns. A name of a column alone is that column, whatever signs are in it.

    Raises RecipeError, whose place is `place`, for another grammar and for unknown names.
    """
    if text in columns:
        _kind(ast.Name(text), text, place, columns)
        return Expression(text, ast.Name(text), (text,))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RecipeError(
            place, f"{text!r} ({error})", "a column, or an expression such as quality - 0.1 * x"
        ) from None
    named: dict[str, None] = {}
    _check(tree, text, place, named, 0)
    for name in named:
        if name not in columns:
            raise RecipeError(place, f"no column {name!r}", f"one of {', '.join(sorted(columns))}")
    _kind(tree, text, place, columns)
    return Expression(text, tree, tuple(named))


def _kind(tree: ast.expr, text: str, place: str, columns: tuple[str, ...] | dict[str, str]) -> None:
    """Raise for text where a number or a condition should be; columns whose types are not known may be either."""
    types = columns if isinstance(columns, dict) else {}

    def is_text(each: ast.expr) -> bool | None:
        match each:
            case ast.Name(name):
                known = types.get(name)
                if known is not None and not USABLE.fullmatch(known):
                    raise RecipeError(place, f"{name!r} of type {known} in {text!r}", "a column of numbers or texts")
                return None if known is None else known == "string"
            case ast.Constant(value):
                return isinstance(value, str)
            case ast.Compare(left, _, rights):
                sides = {side for side in map(is_text, (left, *rights)) if side is not None}
                if len(sides) > 1:
                    raise RecipeError(
                        place, f"a text held against a number in {ast.unparse(each)!r}", "two texts, or two numbers"
                    )
                return False
        inner = getattr(each, "args", None) or getattr(each, "values", None)
        for one in inner or [value for value in vars(each).values() if isinstance(value, ast.expr)]:
            number(one)
        return False

    def number(each: ast.expr) -> None:
        if is_text(each):
            raise RecipeError(place, f"the text {ast.unparse(each)!r} in {text!r}", "a number, or a condition")

    number(tree)


def _check(tree: ast.expr, text: str, place: str, named: dict[str, None], depth: int) -> None:
    """Raise for what is not of the grammar; gather the names of columns."""
    inner: list[ast.expr] = []
    match tree:
        case ast.Name(name):
            named[name] = None
        case ast.Constant(bool() | int() | float() | str()):
            pass
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            inner = [left, right]
        case ast.UnaryOp(ast.USub() | ast.UAdd() | ast.Not(), value):
            inner = [value]
        case ast.Compare(left, ops, rights) if all(type(op) in COMPARISONS for op in ops):
            inner = [left, *rights]
        case ast.BoolOp(_, values):
            inner = values
        case ast.Call(ast.Name(name), args, []) if (name in FUNCTIONS and len(args) == 1) or (name in SEVERAL and args):
            inner = args
        case _:
            what = ast.unparse(tree)
            known = ", ".join((*FUNCTIONS, *SEVERAL))
            raise RecipeError(
                place, f"{what!r} in {text!r}", f"columns, numbers, + - * / **, comparisons, and, or, not, {known}"
            )
    if depth > NESTED:
        raise RecipeError(place, f"an expression of more than {NESTED} levels", "a shorter one")
    for each in inner:
        _check(each, text, place, named, depth + 1)


def _condition(tree: ast.expr) -> bool:
    match tree:
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not(), _) | ast.Constant(bool()):
            return True
    return False


def _value(tree: ast.expr, table: pa.Table) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    def number(each: ast.expr) -> Any:
        return pc.cast(_value(each, table), pa.float64(), safe=False)

    def truth(each: ast.expr) -> Any:
        return pc.cast(_value(each, table), pa.bool_())

    match tree:
        case ast.Name(name):
            return table[name]
        case ast.Constant(value):
            return pa.scalar(value)
        case ast.BinOp(left, op, right):
            return pc.call_function(ARITHMETIC[type(op)], [number(left), number(right)])
        case ast.UnaryOp(ast.Not(), value):
            return pc.invert(truth(value))
        case ast.UnaryOp(ast.USub(), value):
            return pc.negate(number(value))
        case ast.UnaryOp(_, value):
            return number(value)
        case ast.Compare(left, ops, rights):
            sides = [_value(each, table) for each in (left, *rights)]
            pairs = zip(ops, sides, sides[1:], strict=False)
            return reduce(pc.and_kleene, [pc.call_function(COMPARISONS[type(op)], _alike(a, b)) for op, a, b in pairs])
        case ast.BoolOp(op, values):
            both = CONDITIONS[type(op)]
            return reduce(lambda a, b: pc.call_function(both, [a, b]), [truth(each) for each in values])
        case ast.Call(ast.Name(name), args, _) if name in FUNCTIONS:
            return pc.call_function(FUNCTIONS[name], [number(args[0])])
        case ast.Call(ast.Name(name), args, _):
            values = [number(each) for each in args]
            several = name != "coalesce"
            options = pc.ElementWiseAggregateOptions(skip_nulls=False) if several else None
            return pc.call_function(SEVERAL[name], values, options)
    raise AssertionError(ast.dump(tree))


def _alike(one: Any, other: Any) -> list[Any]:
    """Two sides of a comparison: strings and whole numbers as they are, anything else as float64."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if any(t.is_string(side.type) or t.is_large_string(side.type) for side in (one, other)):
        return [one, other]
    if t.is_integer(one.type) and t.is_integer(other.type):
        return [one, other]
    if t.is_float32(one.type) != t.is_float32(other.type):
        one, other = (pc.cast(side, pa.float32()) if isinstance(side, pa.Scalar) else side for side in (one, other))
    return [pc.cast(side, pa.float64(), safe=False) for side in (one, other)]
