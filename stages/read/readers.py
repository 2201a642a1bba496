"""Which function reads the rows of which format; its module is imported when a file of that format is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from stages.read.given import Given, Row

READERS = {
    "jsonl": "json_files:lines",
    "json": "json_files:file",
    "csv": "tables:commas",
    "tsv": "tables:tabs",
    "txt": "text_files:rows",
    "html": "html:rows",
    "warc": "warc:rows",
    "arrow": "arrow:rows",
    "tar": "tar:rows",
}


def reader(form: str) -> Callable[[Given], Iterator[Row]]:
    """The function that yields the rows of a file of this format."""
    module, _, function = READERS[form].partition(":")
    return getattr(import_module(f"stages.read.{module}"), function)
