"""What is made of a file of DCLM's, step by step: nodes by name, and notes for the reader."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# every rule of a node switched off: what a file does not name does not remove
OFF: dict[str, dict[str, Any]] = {
    "url": {},
    "gopher_quality": dict.fromkeys(
        (
            "min_words", "max_words", "min_mean_word", "max_mean_word", "max_hashes", "max_ellipses",
            "max_bullet_lines", "max_ellipsis_lines", "min_alpha_words", "min_stop_words",
        )
    ),
    "refinedweb_lines": {
        "max_upper_case": None, "max_digits": None, "counters": False, "min_line_words": None, "phrases": False,
        "max_removed_words": None,
    },
    "c4": {
        "max_word_chars": None, "end_mark": False, "min_line_words": None, "javascript": False, "policy": False,
        "citations": False, "min_sentences": None, "max_lorem_ipsum": None, "max_curly_brackets": None,
    },
    "tidy": {"urls": False, "max_newlines": None, "trim": False},
    "gopher_repetition": {},
}  # fmt: skip
for _kind in ("url", "gopher_quality", "gopher_repetition", "refinedweb_lines", "c4"):
    OFF[_kind]["words"] = "dclm"  # counted as their code counts
# the order in which a node applies its rules, where it matters: rules of one number may come in any order
ORDER = {
    "refinedweb_lines": {"phrases": 1, "max_removed_words": 2},
    "c4": {
        "end_mark": 1, "min_line_words": 1, "max_lorem_ipsum": 2, "javascript": 3, "max_curly_brackets": 4, "policy": 5,
    },
    "tidy": {"urls": 0, "max_newlines": 1},
}  # fmt: skip
NAMES = {
    "url": "addresses", "tidy": "tidied", "language": "kept", "gopher_quality": "plain", "gopher_repetition": "varied",
    "refinedweb_lines": "lines", "c4": "c4", "url_dedup": "pages", "line_dedup": "distinct_lines",
    "exact_dedup": "distinct", "quality": "scored", "select": "best", "patterns": "unlisted", "length": "long_enough",
    "line_patterns": "without_phrases", "within_page_dedup": "varied_lines",
}  # fmt: skip
AS = ("patterns", "line_patterns", "length")  # nodes whose columns take a name, so that a recipe may have several
SELECTS = ("select",)  # nodes without columns


class Unlike(Exception):
    """An argument asks for what no node does."""


@dataclass
class Translation:
    """What is made of a file: `nodes`, name -> fields, in order; `notes` for the reader, each beside its function.

    lists  name of a file beside the recipe -> the entries that the file of theirs holds itself
    text   the field that becomes the text, and whether it does where there is a `text` already; None: not said
    url    the field that becomes the address
    """

    folder: Path
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    text: tuple[str, bool] | None = None
    url: str | None = None
    split: bool = False  # between split_lines_modifier and join_lines_modifier
    counted: str | None = None  # the node behind which words were counted last, "" for none

    def add(self, kind: str, **fields: Any) -> None:
        """Give a node of this kind these fields: the last node, while it is of the kind, has not been given them, and
        has no rule that comes after them. Raises Unlike where a second node would have the columns of the first.
        """
        if self.takes(kind, *fields):
            self.nodes[self.last_name()] |= fields
            return
        if kind not in (*AS, *SELECTS) and any(held["use"] == kind for held in self.nodes.values()):
            raise Unlike(f"rules of {kind} a second time or in another order, whose columns stand already")
        name, number = NAMES[kind], 2
        while name in self.nodes:
            name, number = f"{NAMES[kind]}_{number}", number + 1
        own_name = {"as": name} if kind in AS else {}
        self.nodes[name] = {"use": kind, "docs": self.last_name() or "docs", **OFF.get(kind, {}), **own_name, **fields}

    def takes(self, kind: str, *fields: str) -> bool:
        """Return whether the last node is of this kind and can be given these fields."""
        if self.last() != kind or kind not in OFF or not fields:
            return False
        held, off, order = self.nodes[self.last_name()], OFF[kind], ORDER.get(kind, {})
        given = [name for name, value in held.items() if name in off and value != off[name]]
        late = max((order.get(name, 0) for name in given), default=0)
        return all((name not in held or held[name] == off.get(name)) and order.get(name, 0) >= late for name in fields)

    def list_file(self, name: str, entries: list[str]) -> str:
        """Return the name of a file beside the recipe, which is to hold these entries."""
        number, path = 2, f"dclm_{name}.txt"
        while path in self.lists:
            path, number = f"dclm_{name}_{number}.txt", number + 1
        self.lists[path] = entries
        return path

    def file(self, path: str) -> str:
        """Return a path of the file, which is one of their repository, from the folder of the recipe."""
        for folder in (Path.cwd(), self.folder, *self.folder.parents):
            if (folder / path).exists():
                return os.path.relpath(folder / path)
        self.notes.append(f"{path}: not found here; put the list there, or change the path")
        return path

    def last_name(self) -> str:
        """Return the name of the last node, "" for none."""
        return next(reversed(self.nodes), "")

    def last(self) -> str:
        """Return the kind of the last node, "" for none."""
        return self.nodes[self.last_name()]["use"] if self.nodes else ""
