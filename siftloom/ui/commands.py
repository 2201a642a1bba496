"""What to type for what was tried in the page: the changed line of a recipe, and the command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.run import StoredRun


def changed_line(recipe: str, label: str, field: str, value: str) -> str:
    """The line of a recipe that makes a node, with the field changed; `field: value` where it has none of its own."""
    line = next((line for line in recipe.splitlines() if re.match(rf"\s*{re.escape(label)}\s*:\s*\{{", line)), None)
    if line is None:
        return f"{field}: {value}"
    there = re.compile(rf"(?<=[{{,\s]){re.escape(field)}\s*:\s*(\[[^\]]*\]|\{{[^}}]*\}}|[^,}}]+)")
    for found in there.finditer(line):
        before = line[: found.start()]
        if before.count("{") - before.count("}") == 1:  # the node's own field, not one of a node inside
            return f"{before}{field}: {value}{line[found.end() :]}".strip()
    end = line.rindex("}")
    return f"{line[:end].rstrip()}, {field}: {value}{line[end:]}".strip()


def command(run: StoredRun, label: str, change: str) -> str | None:
    """Return the command that runs the recipe up to a node with `field=value`, from any folder, into the same store.

    None where no command started the run, or the file of its recipe is gone.
    """
    words = run.record.get("command") or []
    if len(words) < 3 or not Path(words[2]).is_file():
        return None
    return shlex.join([*words[:3], label, *words[3:], "-s", f"{label}.{change}", "--store", str(run.store)])
