"""The items of a task, from its file of one JSON object a line, with the columns that its form must have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import DataError
from stages.in_context.dclm_tasks import EXTENDED, FILES, DclmTask

LISTS = ("choices", "context_options", "aliases")
Item = Mapping[str, Any]


def task_file(name: str) -> str | None:
    """The task file that a path names, or None for any other."""
    path = PurePosixPath(name)
    return path.stem if path.suffix == ".jsonl" and path.stem in FILES else None


def check_first_items(place: str, paths: Iterable[str]) -> None:
    """Raise DataError where the first line of a file that can be read now lacks a column of its tasks."""
    for path in paths:
        if "://" in path:
            continue
        folder = Path(path)
        found = sorted(glob(path, recursive=True)) if not folder.is_dir() else map(str, sorted(folder.rglob("*.jsonl")))
        for name in found:
            stem = task_file(name)
            if stem is None or not Path(name).is_file():
                continue
            with open(name, "rb") as file:
                first = file.readline()
            for task in EXTENDED:
                if task.file == stem and first.strip():
                    _item(f"{place}: {Path(name).name}:1", first, task)


def read_items(name: str, lines: Iterable[bytes], task: DclmTask) -> list[Item]:
    """The items of a file; texts without the white space around them. Raises DataError with the line's number."""
    items = [_item(f"{name}:{number}", line, task) for number, line in enumerate(lines, 1) if line.strip()]
    if not items:
        raise DataError(name, "no item", "one JSON object a line")
    return items


def categories(items: Iterable[Item], task: DclmTask) -> dict[str, list[Item]]:
    """Category -> its items, in order of the categories; of a task without categories all stand under one name."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item["category"] if task.by_category else "", []).append(item)
    return dict(sorted(found.items()))


def _item(place: str, line: bytes, task: DclmTask) -> Item:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise DataError(place, f"no JSON ({error})", "one JSON object a line") from None
    have = sorted(given) if isinstance(given, dict) else []
    if missing := [name for name in task.columns if name not in have]:
        raise DataError(
            place, f"no column {missing[0]!r} among {', '.join(have) or 'none'}",
            f"{', '.join(task.columns)}, as {task.name} is a task of the form `{task.form}`",
        )  # fmt: skip
    item: dict[str, Any] = {"category": str(given["category"])} if task.by_category else {}
    for name in (*task.columns, "aliases", "chain_of_thought"):
        value = given.get(name)
        if name in LISTS and name in given:
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise DataError(place, f"{name} is {value!r}", "a list of texts")
            item[name] = value
        elif name != "gold" and name in given:
            item[name] = str(value).strip()
    if "gold" in task.columns:
        gold, choices = given["gold"], item.get("choices", item.get("context_options", ()))
        if type(gold) is not int or not 0 <= gold < len(choices):
            raise DataError(place, f"gold is {gold!r}", f"the place of the right one of {len(choices)}, from 0")
        item["gold"] = gold
    return item
