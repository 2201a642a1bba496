"""A call of a tool as text, `weather(city="Lyon", days=3)`, and how much of it is what was expected.

The text is parsed, so neither words in common nor a model's opinion count.
"""

from __future__ import annotations

import ast
import warnings
from typing import Literal, NamedTuple

# what is wrong first; `no_call` where a call was expected and none can be read, `needless_call` the other way round
CallError = Literal["no_call", "needless_call", "name", "arity", "keys", "values"]
OPEN = "("


class Call(NamedTuple):
    """Name -> value of its arguments, each value as Python writes it: `3` and `"3"` are two values."""

    name: str
    arguments: dict[str, str]


class Grade(NamedTuple):
    """`reward` from 0 to 1, and what is wrong first, if anything is."""

    reward: float
    error: CallError | None


def parse_call(text: str) -> Call | None:
    """The one call that a text is, its arguments all named and of constants, lists and mappings; None for anything
    else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python would not have written
            found = ast.parse(text.strip(), mode="eval").body
            if not isinstance(found, ast.Call) or found.args:
                return None
            values = {one.arg: repr(ast.literal_eval(one.value)) for one in found.keywords if one.arg is not None}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    if len(values) != len(found.keywords):  # a key twice, or `**`
        return None
    name = ast.unparse(found.func)
    return Call(name, values) if all(part.isidentifier() for part in name.split(".")) else None


def grade(text: str, expected: str) -> Grade:
    """A quarter each for the name, the number of arguments, their names and their values. Where no call is expected,
    1 for a text that is none and does not begin one.
    """
    call, wanted = parse_call(text), parse_call(expected)
    if wanted is None:
        return Grade(1.0, None) if text.strip() and OPEN not in text else Grade(0.0, "needless_call")
    if call is None:
        return Grade(0.0, "no_call")
    right: dict[CallError, bool] = {
        "name": call.name == wanted.name,
        "arity": len(call.arguments) == len(wanted.arguments),
        "keys": call.arguments.keys() == wanted.arguments.keys(),
        "values": call.arguments == wanted.arguments,
    }
    return Grade(sum(right.values()) / len(right), next((name for name, fine in right.items() if not fine), None))


def canonical_call(text: str) -> str:
    """The text with its arguments in the order of their names: equal for calls that say the same. A call that is not
    finished is taken as far as it goes; what is no call stays as it is.
    """
    call, rest = parse_call(text), ""
    if call is None:
        call, rest = parse_call(text.rstrip().removesuffix(",") + ")"), "..."
    if call is None:
        return text.strip()
    return f"{call.name}({', '.join(f'{name}={value}' for name, value in sorted(call.arguments.items()))}){rest}"
