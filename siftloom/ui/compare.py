"""Two runs side by side: documents that only one of them keeps, why, and the results that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from siftloom.ask.difference import difference
from siftloom.ui.models import joined, losses
from siftloom.ui.shelf import Shelf

if TYPE_CHECKING:
    from siftloom.run import Run


def compared(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """`siftloom diff` of the runs `one` and `two` after `node`, and the fields that differ in their recipes."""
    one, two = shelf.run(asked.get("one", "")), shelf.run(asked.get("two", ""))
    found = difference(one, two, asked.get("node") or None)
    return {
        "one": one.name, "two": two.name, **found, "fields": _fields(one.record, two.record),
        "curves": curves(one, two),
    }  # fmt: skip


def curves(one: Run, two: Run) -> list[dict[str, Any]]:
    """The loss curves of both runs in the charts that they share; a training that both have stands there once."""
    shared = {view.fingerprint for view in one.nodes} & {view.fingerprint for view in two.nodes}
    return joined([*losses(one, shared), *losses(two, shared)])


def _fields(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Fields of nodes of one name that differ."""
    forms = [record.get("form", {}) for record in (one, two)]
    found = []
    for label in forms[0].keys() & forms[1].keys():
        sides = [form[label].get("fields", {}) for form in forms]
        for name in sorted(sides[0].keys() | sides[1].keys()):
            values = [side.get(name) for side in sides]
            if values[0] != values[1]:
                found.append({"node": label, "field": name, "values": values})
    return sorted(found, key=lambda entry: (entry["node"], entry["field"]))
