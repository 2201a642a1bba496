"""A node on one line, as a recipe writes it: what a notebook and an error show of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.construct import Checked
from pipeline.files.secrets import masked

# Words that YAML takes for texts as they stand; JSON's quotes serve all others.
WORD = re.compile(r"(?![.]*\d|[.]inf|[.]nan)[A-Za-z_./][\w./:*-]*(?<!:)", re.IGNORECASE)
NO_TEXT = {"true", "false", "null", "yes", "no", "on", "off"}  # in any case of letters, by YAML 1.1


def node_line(self: Any) -> str:
    """Return the kind and the fields without those that have their defaults. Other nodes stand by their kinds, and
    secrets of URIs are masked.
    """
    fields = [f"use: {self.kind()}"]
    for each in dataclasses.fields(self):
        value = getattr(self, each.name)
        if each.repr and (type(value), value) != (type(each.default), each.default):
            fields.append(f"{each.name.removesuffix('_')}: {_written(value)}")
    return masked("{" + ", ".join(fields) + "}")


def _written(value: Any) -> str:
    if isinstance(type(value), Checked):  # a node
        return value.kind()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_written(key)}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return (
            value if WORD.fullmatch(value) and value.lower() not in NO_TEXT else json.dumps(value, ensure_ascii=False)
        )
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
