"""What is made of a file of DCLM's, step by step: nodes by name, and notes for the reader."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# every rule of a node switched off: what a file does not name does not remove
OFF: dict[str, dict[str, Any]] = {
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
    "tidy": {"urls": False, "max_newlines": None},
    "gopher_repetition": {},
}  # fmt: skip
for _kind in ("gopher_quality", "gopher_repetition", "refinedweb_lines"):
    OFF[_kind]["words"] = "dclm"  # counted as their code counts
NAMES = {
    "url": "addresses", "tidy": "tidied", "language": "kept", "gopher_quality": "plain", "gopher_repetition": "varied",
    "refinedweb_lines": "lines", "c4": "c4", "url_dedup": "pages", "line_dedup": "distinct_lines",
    "exact_dedup": "distinct", "quality": "scored", "select": "best", "keyword": "unlisted",
}  # fmt: skip


@dataclass
class Translation:
    """What is made of a file: `nodes`, name -> fields, in order; `notes` for the reader, each beside its function."""

    folder: Path
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    split: bool = False  # between split_lines_modifier and join_lines_modifier

    def add(self, kind: str, **fields: Any) -> None:
        """Give a node of this kind these fields: the last node, while it is of the kind and has not been given them."""
        last = next(reversed(self.nodes), None)
        if last is not None and kind in OFF and self.nodes[last]["use"] == kind:
            held, off = self.nodes[last], OFF[kind]
            if fields and all(name not in held or held[name] == off.get(name) for name in fields):
                held |= fields
                return
        name, number = NAMES[kind], 2
        while name in self.nodes:
            name, number = f"{NAMES[kind]}_{number}", number + 1
        self.nodes[name] = {"use": kind, "docs": last or "docs", **OFF.get(kind, {}), **fields}

    def file(self, path: str) -> str:
        """A path of the file, which is one of their repository, from the folder of the recipe."""
        for folder in (Path.cwd(), self.folder, *self.folder.parents):
            if (folder / path).exists():
                return os.path.relpath(folder / path)
        self.notes.append(f"{path}: not found here; put the list there, or change the path")
        return path

    def last(self) -> str:
        return self.nodes[next(reversed(self.nodes))]["use"] if self.nodes else ""


class Unlike(Exception):
    """An argument asks for what no node does."""
