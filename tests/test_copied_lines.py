"""No piece of code stands in two files: nine lines in a row that say something are one function."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.test_names import modules

LINES = 9
LEFT_OUT = ast.Import | ast.ImportFrom
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
HAS_DOCSTRING = FUNCTION | ast.ClassDef | ast.Module


def code(text: str) -> list[tuple[int, str]]:
    """The lines of a file with their numbers, without imports, signatures, docstrings, comments and bare brackets."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, LEFT_OUT):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, FUNCTION):
            skipped.update(range(node.lineno, node.body[0].lineno))
        if isinstance(node, HAS_DOCSTRING) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            skipped.update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    bare = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in bare if number not in skipped and any(c.isalnum() for c in line)]


def copied(texts: dict[str, str]) -> list[str]:
    """Places of lines that stand in more than one file."""
    places: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for file, text in texts.items():
        lines = code(text)
        for first in range(len(lines) - LINES + 1):
            said = tuple(line for _, line in lines[first : first + LINES])
            if len(set(said)) > 1:  # bodies that are all `raise NotImplementedError` have only their signatures
                places[said].add(f"{file}:{lines[first][0]}")
    found = (sorted(where) for where in places.values())
    return [" = ".join(where) for where in found if len({place.partition(":")[0] for place in where}) > 1]


def test_no_nine_lines_stand_in_two_files():
    assert copied(modules()) == []


def test_a_copy_is_found_under_other_comments_and_signatures():
    body = "".join(f"    x{n} = work({n})\n" for n in range(LINES))
    one = f'"""One."""\nimport os\n\ndef first(a):\n    """Doc."""\n{body}'
    other = f"import sys\n\n\ndef second(\n    b,\n):\n{body.replace('(3)', '(3)  # why')}"
    assert copied({"one.py": one, "other.py": other}) == ["one.py:6 = other.py:7"]
    assert copied({"one.py": one, "other.py": other.replace("work(4)", "rest(4)")}) == []
    assert copied({"one.py": one + one.partition('"""Doc."""\n')[2]}) == []
