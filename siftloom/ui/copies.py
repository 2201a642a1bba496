"""Two documents side by side, with the words that only one of them has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from siftloom.ui.shelf import Shelf

if TYPE_CHECKING:
    from siftloom.run import Run

WORDS = 3000  # of each text that are compared: the time grows with the square of them


def pair(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """The documents `one` and `two` as they were read: `parts` of each, [text, whether both have it]; `share` of words
    that both have; `whole` says whether that is all of both.
    """
    run = shelf.run(asked["run"])
    ids = [asked.get(name, "") for name in ("one", "two")]
    words = [re.findall(r"\w+|\s+|[^\w\s]+", _text(run, document)) for document in ids]
    sides = [each[:WORDS] for each in words]
    matcher = SequenceMatcher(None, *sides, autojunk=False)
    parts: tuple[list[Any], list[Any]] = ([], [])
    for kind, *ends in matcher.get_opcodes():
        for side, (start, stop) in enumerate((ends[:2], ends[2:])):
            if start < stop:
                parts[side].append(["".join(sides[side][start:stop]), kind == "equal"])
    return {
        "ids": ids, "parts": parts, "share": matcher.ratio(), "whole": sides == words,
        "letters": [sum(map(len, each)) for each in words],
    }  # fmt: skip


def _text(run: Run, document: str) -> str:
    base, shard, row = run.find(document)
    return run.documents.text_of(base.manifest, shard, row)
